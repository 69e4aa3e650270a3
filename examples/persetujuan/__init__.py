"""A register of consents, as an agency may have one: what a node asks it over gRPC."""
