"""Clients to be copied: one method, called through a node, in five languages."""
