"""A regency's word on an area that reaches into it."""
