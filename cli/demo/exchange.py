"""The demo's checks of real data: all four kinds of call, and what only several bodies can answer.

Each check asks through the nodes and compares with the files that the services read, in
examples/data: an answer that comes from the wrong regency, or not whole, fails. A check returns
what it saw, in a few words, or raises `CheckError`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import grpc

from cli.demo.calls import TIMEOUT_S, App, Target, collected
from cli.demo.cast import BANDARA, WISATA, Participant
from examples.bandara.airports import nearest, read_airports
from examples.data import AIRPORTS, ISLANDS, REGENCIES
from examples.gen.bandara.v1 import bandara_pb2
from examples.gen.wisata.v1 import wisata_pb2 as pb
from examples.komdigi.app import Question, Trip, trips
from examples.perjalanan.app import Wish, plan
from examples.wisata.islands import Island, Register, read_register

KOMODO: Final = "53.15.40084"
ISLANDS_SHOWN: Final = 6

# Asks one regency through an app; returns what it saw.
RegencyCheck = Callable[[App, Participant], Awaitable[str]]


class CheckError(Exception):
    """A check did not see what it must; the text says what it saw."""


def require(holds: bool, otherwise: str) -> None:
    """Raises CheckError with `otherwise`, unless it holds."""
    if not holds:
        raise CheckError(otherwise)


def register_of(who: Participant) -> Register:
    """The islands that a regency's service has."""
    return read_register(ISLANDS, REGENCIES, who.regions[0])


def code_of(island: str) -> str:
    """The regency of an island, by its code."""
    return island[: len("53.15")]


async def unary(app: App, regency: Participant) -> str:
    """One question, one answer."""
    target = Target("unary", regency.subsystem, f"{WISATA}/Get")
    call = app.wisata.Get(
        pb.GetRequest(code=KOMODO), metadata=app.metadata(regency.subsystem), timeout=TIMEOUT_S
    )
    island = (await app.note(target, call, call)).island
    known = register_of(regency).get(KOMODO)
    require(_same(island, known), f"asked for {known.name}, and got {island.name!r}")
    return f"{island.name} lies at {island.position.latitude:.3f}, {island.position.longitude:.3f}"


async def server_stream(app: App, regency: Participant) -> str:
    """One question, many answers."""
    islands = await _list(app, regency)
    known = register_of(regency).all()
    require(
        len(islands) == len(known) and all(map(_same, islands, known)),
        f"{len(islands)} islands came, and not the {len(known)} that the regency has, in order",
    )
    return f"all {len(islands)} islands of {regency.legal_name}"


async def client_stream(app: App, regency: Participant) -> str:
    """Many messages, one answer: islands go in, and one that is not the regency's is left out."""
    own = register_of(regency).all(limit=2)
    foreign = pb.Island(
        code="99.99.40001",
        name="Pulau Lain",
        regency_code="99.99",
        position=_message(own[0]).position,
    )
    sent = [pb.ImportRequest(island=island) for island in (*map(_message, own), foreign)]

    async def requests() -> AsyncIterator[pb.ImportRequest]:
        for request in sent:
            yield request

    target = Target("client stream", regency.subsystem, f"{WISATA}/Import")
    call = app.wisata.Import(
        requests(), metadata=app.metadata(regency.subsystem), timeout=TIMEOUT_S
    )
    answer = await app.note(target, call, call)
    seen = (answer.received, answer.replaced, len(answer.rejected))
    require(
        seen == (3, 2, 1) and answer.rejected[0].code == foreign.code,
        f"of 3 islands {seen[0]} were received, {seen[1]} replaced, {seen[2]} rejected",
    )
    return "3 islands sent: 2 taken, 1 left out because it is another regency's"


async def both_ways(app: App, regency: Participant) -> str:
    """A talk: the second question is made of the first answer, on the same call."""
    target = Target("bidirectional", regency.subsystem, f"{WISATA}/Chat")
    call = app.wisata.Chat(metadata=app.metadata(regency.subsystem), timeout=TIMEOUT_S)

    async def talk() -> tuple[pb.Island, list[pb.Match]]:
        await call.write(pb.ChatRequest(name="Pulau Komodo", limit=1))
        first = await anext(answers)
        found = first.matches[0].island
        await call.write(pb.ChatRequest(near=found.position, limit=2))
        second = await anext(answers)
        await call.done_writing()
        require([rest async for rest in answers] == [], "more answers came than questions went")
        return found, list(second.matches)

    answers = aiter(call)
    found, near = await app.note(target, call, talk())
    known = register_of(regency)
    place = known.get(found.code).place
    expected = [island.code for _, island in known.nearest(place, 2)]
    require([match.island.code for match in near] == expected, "the second answer is wrong")
    return f"{near[1].island.name} is {near[1].distance_km:.1f} km from {found.name}"


async def each_regency(app: App, regencies: list[Participant]) -> str:
    """Every regency answers, and each knows its own islands alone."""
    counts = []
    for regency in regencies:
        islands = await _list(app, regency)
        known = len(register_of(regency))
        strangers = {
            island.code for island in islands if code_of(island.code) != regency.regions[0]
        }
        require(
            len(islands) == known, f"{regency.member} lists {len(islands)} islands, not {known}"
        )
        require(not strangers, f"{regency.member} lists islands of others: {sorted(strangers)[:3]}")
        counts.append(f"{regency.regions[0]}: {known}")
    for regency in regencies[1:]:
        await _does_not_know_komodo(app, regency)
    return f"islands of {', '.join(counts)}"


async def super_app(
    app: App, regency: Participant, ministry: Participant
) -> tuple[str, list[Trip]]:
    """What no body can answer alone: a regency's islands, and the way to each by the ministry."""
    question = Question(
        region=app.metadata(regency.subsystem),
        ministry=app.metadata(ministry.subsystem),
        populated_only=True,
        limit=ISLANDS_SHOWN,
    )
    found = await asyncio.wait_for(trips(app.channel, question), TIMEOUT_S)
    airports = read_airports(AIRPORTS)
    known = [
        (island.name, nearest(airports, island.place)[0][1].iata)
        for island in register_of(regency).all(populated_only=True, limit=ISLANDS_SHOWN)
    ]
    require([(trip.island, trip.iata) for trip in found] == known, "the table is not the data's")
    return f"{len(found)} islands of {regency.member}, airports of {ministry.member}", found


async def gathered(
    app: App, regencies: list[Participant], ministry: Participant
) -> tuple[str, tuple[Trip, ...]]:
    """The islands of all regencies in one call, and the way to each by the ministry."""
    codes = [code for regency in regencies for code in regency.regions]
    wish = Wish(
        # A single code would be an ordinary call; its province is a gather of one.
        regions=",".join(codes) if len(codes) > 1 else f"{codes[0][:2]}.*",
        airports=ministry.subsystem,
        common=(("simpul-token", app.token),),
        limit=ISLANDS_SHOWN,
    )
    found = await asyncio.wait_for(plan(app.channel, wish), TIMEOUT_S)
    require(
        (found.answered, found.missing) == (len(regencies), 0),
        f"{found.answered} regions answered, {found.missing} are missing",
    )
    airports = read_airports(AIRPORTS)
    known = sorted(
        (island.name, nearest(airports, island.place)[0][1].iata)
        for regency in regencies
        for island in register_of(regency).all(populated_only=True, limit=ISLANDS_SHOWN)
    )
    came = sorted((trip.island, trip.iata) for trip in found.trips)
    require(came == known, "the trips are not the data's")
    said = f"{len(came)} islands of {len(regencies)} regions in one call"
    return f"{said}, gather {found.gather_id}", found.trips


async def still_going(app: App, providers: list[Participant]) -> str:
    """One call to each provider."""
    for who in providers:
        if who.offer is not None and who.offer.service == BANDARA:
            await airports_near_komodo(app, who)
        else:
            await _list(app, who, limit=1)
    return f"{len(providers)} providers answered"


async def airports_near_komodo(app: App, ministry: Participant) -> None:
    """One call to the ministry; raises CheckError where the answer is wrong."""
    target = Target("unary", ministry.subsystem, f"{BANDARA}/Nearest")
    place = bandara_pb2.Coordinate(latitude=-8.577, longitude=119.451)
    call = app.bandara.Nearest(
        bandara_pb2.NearestRequest(position=place),
        metadata=app.metadata(ministry.subsystem),
        timeout=TIMEOUT_S,
    )
    answer = await app.note(target, call, call)
    iata = answer.airports[0].airport.iata
    require(iata == "LBJ", f"the airport nearest to Komodo is LBJ, and {iata} came")


async def _does_not_know_komodo(app: App, regency: Participant) -> None:
    target = Target("unary", regency.subsystem, f"{WISATA}/Get")
    call = app.wisata.Get(
        pb.GetRequest(code=KOMODO), metadata=app.metadata(regency.subsystem), timeout=TIMEOUT_S
    )
    try:
        answer = await app.note(target, call, call)
    except grpc.aio.AioRpcError as error:
        code = error.code()
        require(
            code is grpc.StatusCode.NOT_FOUND and not app.notes[-1].code,
            f"{regency.member} must know nothing of Komodo, and answered {code.name}",
        )
        return
    raise CheckError(f"{regency.member} knows {answer.island.name}, which is another regency's")


async def _list(app: App, regency: Participant, limit: int = 0) -> list[pb.Island]:
    target = Target("server stream", regency.subsystem, f"{WISATA}/List")
    call = app.wisata.List(
        pb.ListRequest(limit=limit), metadata=app.metadata(regency.subsystem), timeout=TIMEOUT_S
    )
    answers = await app.note(target, call, collected(aiter(call)))
    return [answer.island for answer in answers]


def _same(came: pb.Island, known: Island) -> bool:
    return came == _message(known)


def _message(island: Island) -> pb.Island:
    place = island.place
    return pb.Island(
        code=island.code,
        name=island.name,
        regency_code=island.regency_code,
        position=pb.Coordinate(latitude=place.latitude, longitude=place.longitude),
        is_populated=island.is_populated,
        is_outermost_small=island.is_outermost_small,
    )
