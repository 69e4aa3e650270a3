"""The way to the services behind this node: a call's events in, HTTP/2 out."""
