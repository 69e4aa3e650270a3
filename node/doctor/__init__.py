"""What an operator of a node asks first when something doesn't work: see `examine`."""
