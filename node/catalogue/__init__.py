"""Contracts as developers want them: what there is, read back into `.proto` files."""
