"""The trial behind docs/adr/0001: which HTTP/2 stack carries the gateway."""
