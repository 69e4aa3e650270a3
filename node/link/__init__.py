"""Links between nodes: sealed parcels over long-lived streams."""
