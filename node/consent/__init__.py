"""Consents at the provider's node: whether one holds, and that its withdrawal ends its use.

model     one consent, one question about it, and what is said of it
verifier  what answers: the interface, with its contract
local     the register in this node's own state database
outside   a register of the agency's own, over gRPC (simpul/v1/consent.proto)
opening   which of the two, as node.toml says
guard     asks in time, hears withdrawals, and has the workers end what rests on them
"""
