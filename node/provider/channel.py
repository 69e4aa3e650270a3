"""A grpcio channel to a service of this agency's, where its own client isn't needed."""

from __future__ import annotations

from grpc import aio

from node.provider.target import Target
from node.provider.tls import ServiceTls
from runtime.grpc_options import channel_options
from security.errors import Code, SimpulError


def channel_to(target: Target, tls: ServiceTls | None, *, max_message_bytes: int) -> aio.Channel:
    """A channel, which its user closes.

    Raises:
        SimpulError: TLS isn't set up, or a file of it can't be read (CONFIG_INVALID).
    """
    options = channel_options(max_message_bytes=max_message_bytes)
    if not target.tls:
        return aio.insecure_channel(target.grpc_name, options=options)
    if tls is None:
        raise SimpulError(Code.CONFIG_INVALID, "TLS to services is not set up here")
    return aio.secure_channel(target.grpc_name, tls.channel_credentials(), options=options)
