"""The demo's evidence: two calls, exported while the nodes run, joined, and verified from the root.

The joined files stay in HOME/evidence, for `simpul evidence verify` to be tried on.
"""

import asyncio
from typing import Final

from cli.demo.calls import CallNote
from cli.demo.exchange import require
from cli.demo.federation import Federation, NodePlace
from node.evidence.export import export_evidence
from node.home import NodeHome
from runtime.files import make_private_folder, write_private
from security.evidence import Evidence, Report, Result, print_evidence, verify
from security.evidence_join import join_evidence

# A checkpoint every 2 s here, its cosignature, and room for a busy machine.
WITNESSED_S: Final = 30.0
PAUSE_S: Final = 0.5
MUST: Final = ("seals", "journals", "cosignatures", "times", "order", "parties", "receipts",
               "agreement", "permission", "offer")  # fmt: skip


async def evidence(federation: Federation, notes: list[CallNote]) -> str:
    """A unary call and a stream, proven by both sides' files; and a changed bit, which is seen."""
    answered = [note for note in notes if note.status == "OK"]
    require(bool(answered), "no call was answered")
    chosen = [note for note in answered if note.kind == "unary"][:1]
    chosen += [note for note in answered if note.kind != "unary"][:1]
    root = await asyncio.to_thread(federation.registry.root.read_bytes)
    proven = 0
    for note in chosen:
        data = await _witnessed(federation, note, root)
        await asyncio.to_thread(_save, federation, note, data)
        proven = sum(step.result is Result.PROVEN for step in verify(data, root).steps)
        damaged = bytearray(data)
        damaged[len(data) // 2] ^= 1
        failed = verify(bytes(damaged), root).failed
        require(failed is not None and failed.number == 1, "a changed bit wasn't seen")
    return (
        f"{len(chosen)} calls from both sides, {proven} steps proven offline; a changed bit fails"
    )


async def _witnessed(federation: Federation, note: CallNote, root: bytes) -> bytes:
    """Both sides' evidence in one file, once witnesses have seen both journals."""
    provider = next(node for node in federation.providers if node.who.subsystem == note.provider)
    deadline = asyncio.get_running_loop().time() + WITNESSED_S
    while True:
        data = await asyncio.to_thread(_joined, federation.consumer, provider, note)
        report = verify(data, root)
        report.require_sound()
        missing = _missing(report)
        if not missing:
            return data
        require(
            asyncio.get_running_loop().time() < deadline,
            f"call {note.call_id}: not proven: {', '.join(missing)}",
        )
        await asyncio.sleep(PAUSE_S)


def _missing(report: Report) -> list[str]:
    return [
        step.name for step in report.steps if step.name in MUST and step.result is not Result.PROVEN
    ]


def _joined(consumer: NodePlace, provider: NodePlace, note: CallNote) -> bytes:
    ours, theirs = (_export(node, note) for node in (consumer, provider))
    return print_evidence(join_evidence(ours, theirs))


def _export(node: NodePlace, note: CallNote) -> Evidence:
    home = NodeHome.open(node.home)
    return export_evidence(home, home.journal, bytes.fromhex(note.call_id)).evidence


def _save(federation: Federation, note: CallNote, data: bytes) -> None:
    folder = federation.home / "evidence"
    make_private_folder(folder)
    write_private(folder / f"{note.call_id}.evidence", data)
