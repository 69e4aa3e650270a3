"""Checks of what others reach: the port of nodes, the directory's files, and the nodes themselves.

Addresses are those that nodes are told, so what stands in front of the registry is looked at too.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

from registry.directory.folder import TIMESTAMP_NAME
from registry.doctor.own import Place
from registry.model import NodeState
from registry.store import nodes
from registry.store.database import Store
from runtime.doctor.findings import Finding, fault, warning, well
from runtime.doctor.reach import TIMEOUT_S, connect, each, shown_sha256, why
from runtime.ports import parse_address
from security.errors import Code, SimpulError

# Nodes that are tried; a federation has hundreds.
MAX_NODES: Final = 50
MAX_BYTES: Final = 1024 * 1024

_WAY: Final = "start the registry, or mend the way to it; exchange goes on meanwhile"


def check_grpc(place: Place) -> Iterator[Finding]:
    """That each address that nodes are told shows this registry's certificate."""
    own = place.home.server_identity().certificate_sha256.hex()
    for address in _told(place, "grpc"):
        try:
            shown = shown_sha256(address)
        except OSError as error:
            yield fault("gRPC", f"{address}: {why(error)}", _WAY, Code.REGISTRY_UNREACHABLE)
            continue
        if shown == own:
            yield well("gRPC", f"{address} shows this registry's certificate")
        else:
            yield fault(
                "gRPC",
                f"{address} shows another certificate",
                "whoever is in front must pass TLS through: nodes know this one only",
                Code.CERTIFICATE_MISMATCH,
            )


def check_files(place: Place) -> Iterator[Finding]:
    """That each URL that nodes are told serves what is published here."""
    for base in _told(place, "directory"):
        url = urljoin(f"{base.rstrip('/')}/", TIMESTAMP_NAME)
        if urlsplit(url).scheme not in {"http", "https"}:
            yield fault("directory's files", f"{url} is no web address", _WAY, Code.CONFIG_INVALID)
            continue
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  (see above)
                served = answer.read(MAX_BYTES)
        except (OSError, ValueError) as error:
            yield fault(
                "directory's files", f"{url}: {why(error)}", _WAY, Code.REGISTRY_UNREACHABLE
            )
            continue
        behind = _version(place.home.directory.read(TIMESTAMP_NAME)) - _version(served)
        # One may have been published between the two looks.
        if behind > 1:
            yield warning(
                "directory's files",
                f"{url} is {behind} publications behind",
                "look at how the mirror is filled: changes wait for it",
            )
        else:
            yield well("directory's files", f"{url} serves what is published here")


def check_nodes(place: Place) -> Iterator[Finding]:
    """That nodes accept connections at the addresses that the directory gives."""
    store = Store.look(place.home.database_url(place.settings))
    try:
        with store.transaction() as session:
            listed = [
                (str(row.id), row.link_address)
                for row in nodes.every(session)
                if row.state is NodeState.ACTIVE
            ]
    finally:
        store.close()
    tried = listed[:MAX_NODES]
    down = each(tried, lambda node: _node(*node))
    yield from down
    if len(down) < len(tried) or not tried:
        left = len(listed) - len(tried)
        more = f", {left} more were not tried" if left else ""
        yield well("nodes", f"{len(tried) - len(down)} of {len(tried)} answer{more}")


def _told(place: Place, what: str) -> list[str]:
    """What nodes are told: as a running registry wrote it down, else as the settings say."""
    try:
        text = json.loads(place.home.endpoints_file.read_text())[what]
    except (OSError, ValueError, KeyError):
        section = getattr(place.settings, what)
        public = section.public if what == "grpc" else section.public_url
        text = public or (f"{section.listen}" if what == "grpc" else f"http://{section.listen}")
    return [part for part in text.split(",") if part]


def _version(timestamp: bytes) -> int:
    try:
        return int(json.loads(timestamp)["signed"]["version"])
    except (ValueError, KeyError, TypeError):
        return 0


def _node(name: str, address: str) -> Finding | None:
    try:
        connect(parse_address(address)).close()
    except (OSError, SimpulError) as error:
        return warning(
            f"node {name}",
            f"{address}: {why(error)}",
            "ask its operators: its members can't be called; simpul node doctor says more there",
        )
    return None
