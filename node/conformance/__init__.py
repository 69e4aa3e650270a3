"""Checks of a foreign node against the wire standard, from outside."""
