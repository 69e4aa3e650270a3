"""Which register of consents this node asks, as `node.toml` says."""

from __future__ import annotations

import ipaddress
from typing import Final

from node.config import NodeConfig
from node.consent.local import LocalRegister
from node.consent.outside import OutsideRegister
from node.consent.verifier import ConsentVerifier
from node.home import NodeHome
from node.provider.channel import channel_to
from node.provider.target import Target, parse_target
from node.provider.tls import service_tls
from node.secret_ring import SecretRing
from node.store.engine import Store
from runtime.ports import UnixAddress
from security.errors import Code, SimpulError

# Answers are a few bytes; a message of withdrawals names a thousand at most.
MAX_MESSAGE_BYTES: Final = 256 * 1024


def open_verifier(home: NodeHome, config: NodeConfig, store: Store) -> ConsentVerifier:
    """Open the register that is configured. A channel is made here, and dialled when it is used.

    Raises:
        SimpulError: CONFIG_INVALID.
    """
    if config.consent.verifier is None:
        ring = SecretRing(home)
        return LocalRegister(store, ring.kept_keys)
    target = parse_target(config.consent.verifier)
    if not target.tls and not _is_here(target):
        raise SimpulError(
            Code.CONFIG_INVALID,
            "consent.verifier: citizens' numbers would travel in the clear: write "
            "https://HOST:PORT, or have the register listen on this machine",
            key="consent.verifier",
        )
    tls = service_tls(home, config.services)
    return OutsideRegister(channel_to(target, tls, max_message_bytes=MAX_MESSAGE_BYTES))


def _is_here(target: Target) -> bool:
    if isinstance(target.address, UnixAddress) or target.address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(target.address.host).is_loopback
    except ValueError:
        return False
