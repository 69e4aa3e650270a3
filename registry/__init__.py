"""The registry: who is who in a federation, and the directory that says so to every node."""
