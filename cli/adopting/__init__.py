"""What `simpul contract adopt` writes: a server in Python that runs, and the next commands."""
