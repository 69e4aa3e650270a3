"""Contracts: whose they are, their revisions, and the workflow by which they come and change."""
