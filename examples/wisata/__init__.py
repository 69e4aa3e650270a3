"""A regency's island tourism service."""
