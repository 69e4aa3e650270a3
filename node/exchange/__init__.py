"""Calls, from the gateway to the link and from the link to the service."""
