"""The public service super app: a consumer of the other two."""
