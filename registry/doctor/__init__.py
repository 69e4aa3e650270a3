"""What an operator of the registry asks first when something doesn't work: see `examine`."""
