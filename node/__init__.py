"""An agency's node: gateway, directory, policy, exchange, links, journal, services."""
