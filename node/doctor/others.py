"""Checks of what this node needs from elsewhere: the registry, other nodes, witnesses, services.

Each is reached as the node reaches it, and no further: an address that answers, a certificate that
is who it should be.
"""

from __future__ import annotations

import email.utils
import ssl
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Final
from urllib.parse import urljoin, urlsplit

from node.doctor.own import Place
from node.home import KeyName
from node.provider.target import parse_target
from runtime.doctor.findings import Finding, fault, raised, warning, well
from runtime.doctor.reach import TIMEOUT_S, connect, each, shown_sha256, why
from runtime.ports import TcpAddress, parse_address
from security.certificate import to_pem
from security.directory_records import NodeState, NodeView
from security.errors import Code, SimpulError
from security.limits import CLOCK_AHEAD_MS
from security.oversight import WitnessView

# Other nodes that are tried; a federation has hundreds.
MAX_PEERS: Final = 50
# What a peer seals further ahead of another's clock is refused.
CLOCK_FAULT_S: Final = CLOCK_AHEAD_MS / 1000
CLOCK_WARNING_S: Final = 5.0


def check_registry(place: Place) -> Iterator[Finding]:
    """That the registry's port answers with the certificate that came with the enrolment."""
    settings = place.config.registry
    mend = "start the registry, or mend the way to it; exchange goes on meanwhile"
    try:
        shown = shown_sha256(settings.address)
    except OSError as error:
        yield fault(
            "registry", f"{settings.address}: {why(error)}", mend, Code.REGISTRY_UNREACHABLE
        )
        return
    if shown != settings.certificate_sha256.lower():
        yield fault(
            "registry",
            f"{settings.address} shows another certificate than at the enrolment",
            "ask the registry's operator, by voice, for its certificate's SHA-256",
            Code.CERTIFICATE_MISMATCH,
        )
        return
    yield well("registry", f"{settings.address} answers, and is who it was")


def check_files_and_clock(place: Place) -> Iterator[Finding]:
    """That the directory's files are served, and whether this clock is near that machine's."""
    url = urljoin(place.config.registry.directory_url, "metadata/timestamp.json")
    if urlsplit(url).scheme not in {"http", "https"}:
        yield fault(
            "directory's files",
            f"{url} is no web address",
            "set registry.directory_url in node.toml",
            Code.CONFIG_INVALID,
        )
        return
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  (see above)
            said = answer.headers.get("Date")
    except (OSError, ValueError) as error:
        yield fault(
            "directory's files",
            f"{url}: {why(error)}",
            "mend the way there, or name a mirror: registry.directory_url",
            Code.REGISTRY_UNREACHABLE,
        )
        return
    yield well("directory's files", f"{url} is served")
    if said is None:
        return
    # Its own resolution is a second.
    ahead_s = place.now_ms / 1000 - email.utils.parsedate_to_datetime(said).timestamp()
    off = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the registry's machine"
    if abs(ahead_s) > CLOCK_FAULT_S:
        yield fault("clock", off, "set the clock, and keep it by NTP", Code.PARCEL_TIME)
    elif abs(ahead_s) > CLOCK_WARNING_S:
        yield warning(
            "clock", off, f"keep the clock by NTP: past {CLOCK_FAULT_S:.0f} s parcels are refused"
        )
    else:
        yield well("clock", "as the registry's machine has it")


def check_peers(place: Place) -> Iterator[Finding]:
    """That other nodes answer at the addresses that the directory gives, as who they are."""
    view = place.directory
    if view is None:
        return
    others = [
        node
        for name, node in sorted(view.nodes.items(), key=lambda item: str(item[0]))
        if name != place.config.node_id and node.state is NodeState.ACTIVE
    ]
    tried = others[:MAX_PEERS]
    context = _link_context(place, view.policy.tls_authorities)
    down = each(tried, lambda node: _peer(context, node))
    yield from down
    if len(down) < len(tried):
        left = len(others) - len(tried)
        more = f", {left} more were not tried" if left > 0 else ""
        yield well("nodes", f"{len(tried) - len(down)} of {len(tried)} others answer{more}")


def check_witnesses(place: Place) -> Iterator[Finding]:
    """That the federation's witnesses answer."""
    if place.directory is None:
        return

    def look(witness: WitnessView) -> Finding:
        what = f"witness {witness.key.name}"
        try:
            connect(_address_of(witness.url)).close()
        except (OSError, SimpulError) as error:
            return warning(
                what,
                f"{witness.url}: {why(error)}",
                "calls go on; tell its operators: parcels are not witnessed",
            )
        return well(what, f"{witness.url} answers")

    yield from each(place.directory.policy.oversight.witnesses, look)


def check_services(targets: Mapping[str, str]) -> Iterator[Finding]:
    """That each service that is published here can be reached; targets by the services' ids."""

    def look(item: tuple[str, str]) -> Finding:
        service, target = item
        what = f"service {service}"
        try:
            connect(parse_target(target).address).close()
        except SimpulError as error:
            return raised(what, error)
        except OSError as error:
            return fault(
                what,
                f"{target}: {why(error)}",
                "start the service, or publish it with its new address: simpul service publish",
                Code.SERVICE_UNREACHABLE,
            )
        return well(what, f"{target} answers")

    yield from each(list(targets.items()), look)


def _peer(context: ssl.SSLContext, node: NodeView) -> Finding | None:
    what = f"node {node.id}"
    try:
        with (
            closing(connect(parse_address(node.link_address))) as raw,
            context.wrap_socket(raw, server_hostname=node.id.dns_name),
        ):
            return None
    except ssl.SSLError as error:
        return warning(
            what,
            f"{node.link_address} answers, and is not {node.id}: {why(error)}",
            "ask its operators; whoever is in front must pass TLS through",
        )
    except (OSError, SimpulError) as error:
        return warning(
            what,
            f"{node.link_address}: {why(error)}",
            "ask its operators, and whether this machine may reach that port",
        )


def _link_context(place: Place, authorities: Sequence[bytes]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=to_pem(*authorities).decode())
    context.load_cert_chain(place.home.chain, place.home.key_file(KeyName.TLS))
    context.set_alpn_protocols(["h2"])
    return context


def _address_of(url: str) -> TcpAddress:
    parts = urlsplit(url)
    return TcpAddress(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
