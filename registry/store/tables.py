"""All tables of this version: imported by whoever compares or creates a whole schema."""

from sqlmodel import SQLModel

from registry.store import changes, contracts, members, nodes, services, subsystems, tokens

TABLES = (
    members.MemberRow,
    members.RegionRow,
    members.RevokedKeyRow,
    nodes.NodeRow,
    subsystems.SubsystemRow,
    services.ServiceRow,
    contracts.ContractRow,
    tokens.TokenRow,
    changes.ChangeRow,
)

METADATA = SQLModel.metadata
