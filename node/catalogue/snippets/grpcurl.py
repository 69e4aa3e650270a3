"""A call with grpcurl, which reads the .proto files itself. Pure."""

from __future__ import annotations

import shlex

from node.catalogue.snippets.called import DEADLINE_S, TOKEN_VARIABLE, Called


def grpcurl(called: Called) -> str:
    """The commands, for a shell."""
    gateway = called.gateway
    headers = " ".join(f"-H {shlex.quote(f'{key}: {value}')}" for key, value in called.metadata)
    socket = "-unix " if gateway.is_socket else ""
    address = gateway.address.removeprefix("unix:")
    plain = "" if gateway.tls else "-plaintext "
    return f"""\
# simpul catalogue show {called.package} --proto protos
# {TOKEN_VARIABLE} holds the app's token: simpul app add
grpcurl {plain}{socket}-max-time {DEADLINE_S} \\
  -import-path protos -proto {shlex.quote(called.file.name)} \\
  -H "simpul-token: ${TOKEN_VARIABLE}" {headers} \\
  -d {shlex.quote(called.request_json)} \\
  {shlex.quote(address)} {called.path}
"""
