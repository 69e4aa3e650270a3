"""A node's journal: an append-only, tamper-evident record of every parcel it sent or received.

`model` is what goes in and comes out, `store` the contract of storage, `journal` what the node
uses, `reader` and `verify` what an operator uses. Nothing is acted on before its record is durable
here.

Source: docs/spec, "Journal".
"""
