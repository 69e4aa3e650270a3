"""Where apps call: HTTP/2 in, a call's events out."""
