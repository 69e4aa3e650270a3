"""The demo's checks of what must be refused: calls without an agreement, and parcels that lie."""

import asyncio
import json
from pathlib import Path
from typing import Final

import grpc

from cli.admin import find_node, node_admin
from cli.demo import calls
from cli.demo.calls import CallNote, Target
from cli.demo.cast import BANDARA, WISATA
from cli.demo.exchange import KOMODO, CheckError, require
from cli.demo.federation import Federation, NodePlace
from cli.demo.tamper import CapturedNode, Parcel, captured
from examples.gen.bandara.v1 import bandara_pb2
from examples.gen.wisata.v1 import wisata_pb2
from node.journal.reader import JournalReader
from security.errors import Code
from security.identifiers import NodeId, ServiceId, SubsystemId
from security.kinds import Open
from simpul.node.v1 import admin_pb2

LOG_TIMEOUT_S: Final = 5.0
STEP_ORDER: Final = 4
STEP_ROOT: Final = 6


async def no_agreement(
    caller: NodePlace, subsystem: str, provider: NodePlace
) -> tuple[str, CallNote]:
    """A subsystem that nobody has an agreement with asks, with a credential of its own node."""
    async with node_admin(find_node(caller.home)) as stub:
        added = await stub.AddApp(
            admin_pb2.AddAppRequest(name="uninvited", subsystems=[subsystem], ttl_s=60)
        )
        try:
            async with calls.app(subsystem, added.token, caller.gateway) as app:
                await _ask(app, provider)
        finally:
            await stub.RemoveApp(admin_pb2.RemoveAppRequest(name=added.name))
    (note,) = app.notes
    require(note.status == "PERMISSION_DENIED", f"it ended with {note.status}")
    require(note.code == Code.ACCESS_NO_AGREEMENT, f"simpul-error is {note.code or 'not there'}")
    require(bool(note.call_id), "the refusal bears no call id")
    return f"{subsystem} asked {provider.who.subsystem}: {note.status}, {note.code}", note


async def tampered(federation: Federation, provider: NodePlace) -> str:
    """A parcel with one changed byte: its entries no longer have the root that was sealed."""
    async with captured(federation.consumer.home, _id(provider)) as node:
        parcel = await _asking(federation, provider, node)
        await node.send(parcel.with_one_byte_changed())
        refused = await node.refusal()
    require(refused.code is Code.PARCEL_ROOT, f"the link ended with {refused.code}")
    line = await _logged(federation, provider, Code.PARCEL_ROOT, STEP_ROOT)
    require(not _opens(provider, parcel), "the provider journaled the tampered parcel")
    return f"{provider.who.node_id}: step {line['step']}, {line['code']}, peer {line['peer']}"


async def replayed(federation: Federation, provider: NodePlace) -> str:
    """A parcel that was answered, sent once more on its link: the service is not called again."""
    async with captured(federation.consumer.home, _id(provider)) as node:
        parcel = await _asking(federation, provider, node)
        await node.send(parcel.frame)
        answer = await node.answer()
        require(answer.fault is None, "the first time it must be answered")
        await node.send(parcel.frame)
        refused = await node.refusal()
    require(refused.code is Code.PARCEL_ORDER, f"the link ended with {refused.code}")
    line = await _logged(federation, provider, Code.PARCEL_ORDER, STEP_ORDER)
    times = _opens(provider, parcel)
    require(times == 1, f"the call is {times} times in the provider's journal, not once")
    return f"{provider.who.node_id}: step {line['step']}, {line['code']}, peer {line['peer']}"


async def _ask(app: calls.App, provider: NodePlace) -> None:
    """One call that must be refused."""
    to = provider.who.subsystem
    metadata = app.metadata(to)
    try:
        if provider.who.offer is not None and provider.who.offer.service == BANDARA:
            near = bandara_pb2.NearestRequest(position=bandara_pb2.Coordinate())
            asked = app.bandara.Nearest(near, metadata=metadata, timeout=calls.TIMEOUT_S)
            await app.note(Target("unary", to, f"{BANDARA}/Nearest"), asked, asked)
        else:
            get = wisata_pb2.GetRequest(code=KOMODO)
            call = app.wisata.Get(get, metadata=metadata, timeout=calls.TIMEOUT_S)
            await app.note(Target("unary", to, f"{WISATA}/Get"), call, call)
    except grpc.aio.AioRpcError:
        return
    raise CheckError(f"{to} answered {app.subsystem}, which has no agreement with it")


async def _asking(federation: Federation, provider: NodePlace, node: CapturedNode) -> Parcel:
    """A parcel that asks for Komodo, by the agreement that there is."""
    consumer = federation.consumer
    async with node_admin(find_node(consumer.home)) as stub:
        held = (await stub.ListAgreements(admin_pb2.ListAgreementsRequest())).agreements
    agreement = next(item for item in held if item.provider == provider.who.subsystem)
    opened = Open(
        consumer=SubsystemId.parse(consumer.who.subsystem),
        service=ServiceId.parse(provider.who.service_id),
        method="Get",
        agreement=bytes.fromhex(agreement.agreement),
        purpose=agreement.purposes[0],
        deadline_left_ms=10_000,
        unary=True,
    )
    return node.parcel(opened, wisata_pb2.GetRequest(code=KOMODO).SerializeToString())


async def _logged(
    federation: Federation, provider: NodePlace, code: Code, step: int
) -> dict[str, object]:
    """The line of the provider's log that says whom it refused, and why."""
    peer = federation.consumer.who.node_id
    child = federation.children[provider.who.node]
    try:
        found = await asyncio.wait_for(
            child.until(lambda: _line(child.log, code, step, peer)), LOG_TIMEOUT_S
        )
    except TimeoutError:
        raise CheckError(f"{child.log} does not say: {code}, step {step}, peer {peer}") from None
    require(child.runs, "the provider's node is gone")
    return found


def _line(log: Path, code: Code, step: int, peer: str) -> dict[str, object] | None:
    for text in log.read_text(errors="replace").splitlines():
        if not text.startswith("{"):
            continue
        line = json.loads(text)
        if (line.get("code"), line.get("step"), line.get("peer")) == (code, step, peer):
            return dict(line)
    return None


def _opens(provider: NodePlace, parcel: Parcel) -> int:
    with JournalReader(provider.home / "journal.db") as reader:
        found = reader.show_call(parcel.call_id)
    return sum(entry.kind == "open" for detail in found for entry in detail.entries)


def _id(node: NodePlace) -> NodeId:
    return NodeId.parse(node.who.node_id)
