"""Checks of what lies on this machine: keys, certificate, directory, journal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.checkpoints.latest import LatestStore
from node.config import NodeConfig, journal_place
from node.directory.folder import ReplicaFolder
from node.directory.load import load_view
from node.external import is_external
from node.home import NodeHome
from node.journal.reader import JournalReader
from node.keyring import open_ring
from runtime.doctor.findings import Finding, fault, raised, warning, well
from runtime.doctor.machine import duration
from security.certificate import dns_names, expires_at_ms, from_pem, renewal_due_ms
from security.directory import DirectoryView
from security.directory_records import NodeState
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.keys import PrivateKey

MS_PER_DAY: Final = 86_400_000
# The node tries to renew its certificate every hour, once it is due.
RENEWAL_GRACE_MS: Final = MS_PER_DAY
_IMPORT: Final = "simpul node certificate request, and import what the authority issues"


@dataclass(frozen=True, slots=True)
class Place:
    """The node that is looked at. `directory` is None where there is no copy of it."""

    home: NodeHome
    config: NodeConfig
    directory: DirectoryView | None
    now_ms: int


def read_directory(home: NodeHome) -> DirectoryView | None:
    """The node's copy; None before the first.

    Raises:
        SimpulError: DIRECTORY_ABSENT, when it is damaged, and what `DirectoryView.build` raises.
    """
    current = ReplicaFolder(home.directory).current()
    return None if current is None else load_view(current)


def check_directory(place: Place) -> Iterator[Finding]:
    """That there is a copy of the directory, and how old it is."""
    view = place.directory
    if view is None:
        yield fault(
            "directory",
            "this node has no copy of it yet",
            "start the node where it reaches the registry",
            Code.DIRECTORY_ABSENT,
        )
        return
    age_ms = place.now_ms - view.issued_at_ms
    said = f"version {view.version}, issued {duration(age_ms)} ago"
    if age_ms > view.policy.dead_after_ms:
        yield fault(
            "directory",
            f"{said}: every call is refused",
            "let the node reach the registry or a mirror (registry.directory_url)",
            Code.DIRECTORY_DEAD,
        )
    elif age_ms > view.policy.stale_after_ms:
        left = duration(view.policy.dead_after_ms - age_ms)
        yield warning(
            "directory",
            f"{said}: revocations don't arrive, and calls end in {left}",
            "let the node reach the registry or a mirror (registry.directory_url)",
        )
    else:
        yield well("directory", said)


def check_listing(place: Place) -> Iterator[Finding]:
    """That the directory lists this node, with the keys and the address that it has."""
    view, node_id = place.directory, place.config.node_id
    if view is None:
        return
    listed = view.nodes.get(node_id)
    if listed is None:
        yield fault(
            "listing",
            f"the directory has no {node_id}",
            "enrol it again: the registry's operator makes a token",
            Code.NODE_UNKNOWN,
        )
        return
    if listed.state is not NodeState.ACTIVE:
        yield fault(
            "listing",
            f"{node_id} is {listed.state.value}: no node takes it",
            "enrol it again: the registry's operator makes a token",
            Code.NODE_REVOKED,
        )
        return
    if listed.link_address != str(place.config.link.advertise):
        yield warning(
            "listing",
            f"the directory sends others to {listed.link_address}, and node.toml says "
            f"{place.config.link.advertise}",
            f"simpul node address {place.config.link.advertise} --home {place.home.path}",
        )
    else:
        yield well("listing", f"others find {node_id} at {listed.link_address}")


def check_keys(place: Place) -> Iterator[Finding]:
    """That this node has the keys that the directory lists for it."""
    view, config = place.directory, place.config
    ring = open_ring(place.home, config, os.environ)
    listed = None if view is None else view.nodes.get(config.node_id)
    if listed is not None and listed.node_key not in {key.public for key in ring.node_keys()}:
        yield fault(
            "node key",
            "the directory lists a key for this node that is not here",
            "restore the newest backup of keys/, or enrol the node again",
            Code.GREETING_SIGNATURE,
        )
    else:
        yield well("node key", "as the directory lists it")
    if view is None:
        return
    for member in config.member_ids:
        what = f"seal key of {member}"
        key = ring.sealing_key(member, view, config.node_id, place.now_ms)
        try:
            view.seal_key(member, key.public.key_id, config.node_id, place.now_ms)
        except SimpulError as error:
            yield raised(what, error)
        else:
            yield well(what, "listed and valid")
        for on_device in (*ring.identity_keys(member)[-1:], key):
            if on_device.on_device:
                yield _signs(member, on_device)


def _signs(member: MemberId, key: PrivateKey) -> Finding:
    """That a key in a token signs, and how long that takes."""
    what = f"token of {member}"
    begun = time.perf_counter()
    try:
        key.sign_plain(b"simpul doctor\n")
    except SimpulError as error:
        return raised(what, error)
    took_ms = 1000 * (time.perf_counter() - begun)
    return well(what, f"key {key.public.key_id.hex()[:16]} signs, in {took_ms:.0f} ms")


def check_certificate(place: Place) -> Iterator[Finding]:
    """That the link's certificate is this node's, and has time left."""
    certificate = from_pem(place.home.read_chain())[0]
    name = place.config.node_id.dns_name
    if name not in dns_names(certificate):
        yield fault(
            "certificate",
            f"tls/chain.pem is not for {name}",
            "restore the newest backup of tls/ and keys/",
            Code.CERTIFICATE_MISMATCH,
        )
        return
    imported = is_external(place.home)
    days = (expires_at_ms(certificate) - place.now_ms) / MS_PER_DAY
    due_ms = renewal_due_ms(certificate)
    till_due = (due_ms - place.now_ms) / MS_PER_DAY
    if days < 0:
        yield fault(
            "certificate",
            f"it ended {-days:.0f} days ago: no link comes up",
            _IMPORT if imported else "start the node where it reaches the registry: it renews it",
            Code.CERTIFICATE_MISMATCH,
        )
    elif imported and place.now_ms > due_ms:
        yield warning("certificate", f"{days:.1f} days left, of an outside authority's", _IMPORT)
    elif imported:
        yield well("certificate", f"{days:.0f} days left, of an outside authority's")
    elif place.now_ms > due_ms + RENEWAL_GRACE_MS:
        yield warning(
            "certificate",
            f"{days:.1f} days left, and it should have been renewed {-till_due:.0f} days ago",
            "let the node reach the registry; its log says why the renewal fails",
        )
    else:
        yield well("certificate", f"{days:.0f} days left; renewed by itself in {till_due:.0f}")


def check_journal(place: Place) -> Iterator[Finding]:
    """That the journal can be read, and isn't older than what was signed of it."""
    with JournalReader(journal_place(place.config, place.home)) as reader:
        sizes = reader.slot_sizes()
    latest = LatestStore(place.home.checkpoints)
    behind = False
    for slot, size in sorted(sizes.items()):
        signed = latest.load(slot)
        if signed is not None and signed.checkpoint.size > size:
            behind = True
            yield fault(
                "journal",
                f"slot {slot} has {size} parcels, and {signed.checkpoint.size} were signed: it is "
                "an old copy",
                "put the newest copy back; where there is none: simpul explain "
                "JOURNAL_RESTORED_OR_FORKED",
                Code.JOURNAL_RESTORED_OR_FORKED,
            )
    if not behind:
        said = f"{sum(sizes.values())} parcels in {len(sizes)} slots"
        yield well("journal", f"{said}; simpul journal verify looks at each")
