"""The demo's check of access: asked for, narrowed, agreed, used, and taken back under a stream.

As two operators do it with `simpul access`, at the nodes of the consumer and of a regency, for a
purpose of its own, beside the agreement by which the other calls are made.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc

from cli.admin import find_node, node_admin
from cli.demo.calls import ERROR, TIMEOUT_S, App, Target
from cli.demo.cast import WISATA
from cli.demo.exchange import KOMODO, register_of, require
from cli.demo.federation import NodePlace
from examples.gen.wisata.v1 import wisata_pb2 as pb
from simpul.node.v1 import admin_pb2

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2_grpc import NodeAdminAsyncStub

PURPOSE: Final = "peta-wisata"
# After the command has returned.
END_S: Final = 1.0


async def access(app: App, consumer: NodePlace, regency: NodePlace) -> str:
    """A request, a narrower offer, a call with the agreed fields, and a revocation."""
    async with (
        node_admin(find_node(consumer.home)) as asking,
        node_admin(find_node(regency.home)) as deciding,
    ):
        asked = await _ask(asking, app, regency, ("Get", "Chat"))
        terms = admin_pb2.AccessTerms(
            methods=["Get"], response_fields=admin_pb2.AccessFields(paths=["Get/island.name"])
        )
        narrower = await _decide(deciding, asked, "counter", terms)
        require(narrower.state == "active", f"the narrower offer is {narrower.state}")
        await _names_alone(app, regency)
        await _decide(deciding, narrower.agreement, "revoke")
        took_s = await _ended_stream(app, regency, asking, deciding)
    return f"a name and nothing else passed; a revocation ended a stream in {took_s * 1000:.0f} ms"


async def _ask(
    stub: "NodeAdminAsyncStub", app: App, regency: NodePlace, methods: tuple[str, ...]
) -> str:
    terms = admin_pb2.AccessTerms(
        consumer=app.subsystem,
        service_id=regency.who.service_id,
        methods=methods,
        purposes=[
            admin_pb2.AccessPurpose(id=PURPOSE, legal_basis="PUBLIC_TASK", description="Peta")
        ],
    )
    made = await stub.RequestAccess(admin_pb2.RequestAccessRequest(terms=terms))
    require(made.agreement.state == "requested", f"the request is {made.agreement.state}")
    return made.agreement.agreement


async def _decide(
    stub: "NodeAdminAsyncStub",
    agreement: str,
    decision: str,
    terms: admin_pb2.AccessTerms | None = None,
) -> admin_pb2.Agreement:
    made = await stub.DecideAgreement(
        admin_pb2.DecideAgreementRequest(agreement=agreement, decision=decision, terms=terms)
    )
    require(made.untold.code == "", f"the other side has not heard: {made.untold.message}")
    return made.agreement


async def _names_alone(app: App, regency: NodePlace) -> None:
    """The island that the service answers with, and of it what was agreed."""
    call = app.wisata.Get(
        pb.GetRequest(code=KOMODO), metadata=_metadata(app, regency), timeout=TIMEOUT_S
    )
    target = Target("unary", regency.who.subsystem, f"{WISATA}/Get")
    island = (await app.note(target, call, call)).island
    name = register_of(regency.who).get(KOMODO).name
    require(island == pb.Island(name=name), f"more than the name came, or less: {island}")


async def _ended_stream(
    app: App, regency: NodePlace, asking: "NodeAdminAsyncStub", deciding: "NodeAdminAsyncStub"
) -> float:
    """Revoke while a talk goes on; returns how long it took to end after the command."""
    agreement = await _ask(asking, app, regency, ("Chat",))
    await _decide(deciding, agreement, "accept")
    talk: Any = app.wisata.Chat(metadata=_metadata(app, regency), timeout=TIMEOUT_S)
    await talk.write(pb.ChatRequest(name="Pulau Komodo", limit=1))
    answers = aiter(talk)
    await anext(answers)
    await _decide(deciding, agreement, "revoke")
    began_s = asyncio.get_running_loop().time()
    try:
        await anext(answers)
        require(holds=False, otherwise="the stream went on after the revocation")
    except grpc.aio.AioRpcError as error:
        said = dict(error.trailing_metadata() or ())
        require(said.get(ERROR) == "ACCESS_NO_AGREEMENT", f"the stream ended with {said}")
    took_s = asyncio.get_running_loop().time() - began_s
    require(took_s < END_S, f"the stream ended {took_s:.1f} s after the revocation")
    return took_s


def _metadata(app: App, regency: NodePlace) -> tuple[tuple[str, str], ...]:
    return (*app.metadata(regency.who.subsystem), ("simpul-purpose", PURPOSE))
