"""The demo's checks of what is left when all has stopped: the journals of both sides."""

import asyncio

from cli.demo.calls import CallNote
from cli.demo.exchange import require
from cli.demo.federation import Federation, NodePlace
from cli.seals import seal_check
from node.home import NodeHome
from node.journal.model import Direction
from node.journal.reader import JournalReader
from node.journal.verify import verify

# The hashes of the headers of one call's parcels, by who sealed them.
Parcels = dict[str, set[bytes]]


async def journals(federation: Federation) -> str:
    """Every node's journal passes every check, seals included."""
    reports = await asyncio.gather(
        *(asyncio.to_thread(_verified, node) for node in federation.nodes)
    )
    return f"{len(reports)} journals, {sum(reports)} parcels"


async def same_parcels(federation: Federation, notes: list[CallNote]) -> str:
    """Consumer and provider hold the very same parcels of every call that travelled."""
    providers = {node.who.subsystem: node for node in federation.providers}
    travelled = [note for note in notes if not note.code]
    require(bool(travelled), "no call travelled at all")
    parcels = 0
    for note in travelled:
        asked = _parcels(federation.consumer, note, sent_by="consumer")
        answered = _parcels(providers[note.provider], note, sent_by="provider")
        require(
            asked == answered,
            f"call {note.call_id}: the consumer has {_counts(asked)} parcels, "
            f"the provider {_counts(answered)}, and not the same",
        )
        require(all(asked.values()), f"call {note.call_id} has parcels of one side only")
        parcels += sum(map(len, asked.values()))
    return f"{len(travelled)} calls, {parcels} parcels, the same on both sides"


def _verified(node: NodePlace) -> int:
    report = verify(NodeHome.open(node.home).journal, verify_seal=seal_check(node.home))
    problems = "; ".join(map(str, report.problems[:2]))
    require(report.ok, f"{node.who.node_id}: {report.problem_count} problems: {problems}")
    return report.parcels


def _parcels(node: NodePlace, note: CallNote, *, sent_by: str) -> Parcels:
    """By side, so that what one has sent is what the other has received."""
    received_from = {"consumer": "provider", "provider": "consumer"}[sent_by]
    found: Parcels = {"consumer": set(), "provider": set()}
    with JournalReader(NodeHome.open(node.home).journal) as reader:
        for detail in reader.show_call(bytes.fromhex(note.call_id)):
            for entry in detail.entries:
                side = sent_by if entry.direction is Direction.SENT else received_from
                found[side].add(entry.header_hash)
    return found


def _counts(parcels: Parcels) -> str:
    return " and ".join(str(len(hashes)) for hashes in parcels.values())
