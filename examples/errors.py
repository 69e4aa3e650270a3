"""What a caller of the demo's services can get wrong. serving.py maps each to a gRPC status."""


class InvalidArgumentError(ValueError):
    """A request that makes no sense; the message says what is wrong and what to send."""


class NotFoundError(LookupError):
    """A request for something that this service does not have."""


class TooMuchError(Exception):
    """A request that is larger than this service takes."""
