"""The transport ministry's airport service."""
