"""Other limits than the defaults, each node its own: the lower holds, and the refusal names it."""

from collections.abc import Iterator

import pytest

from tests.interop.calling import Outcome, ask
from tests.interop.federation import Ways, federation
from tests.interop.probe import KINDS, Side

CONSUMERS, PROVIDERS = 300_000, 200_000
RESOURCE_EXHAUSTED = 8


@pytest.fixture(scope="module")
def limited() -> Iterator[Ways]:
    """Two nodes with limits of their own."""

    def section(limit: int) -> str:
        return f"\n[limits]\nmax_message_bytes = {limit}\nmax_metadata_bytes = {limit // 20}\n"

    settings = {"konsumen": section(CONSUMERS), "penyedia": section(PROVIDERS)}
    with federation(settings=settings) as found:
        yield found


async def echo(side: Side) -> None:
    """Answers what comes."""
    while (message := await side.read()) is not None:
        await side.write(message)


def check(found: Outcome, code: str, limit: int, hop: str) -> None:
    assert (found.code, found.value("simpul-error")) == (RESOURCE_EXHAUSTED, code), found.details
    assert str(limit) in found.details
    assert hop in found.details


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_past_each_limit(limited: Ways, kind: str) -> None:
    name = limited.probe.behave(echo)
    found = await ask(limited.nodes, kind, name, bytes(PROVIDERS))
    assert (found.code, len(found.messages[0])) == (0, PROVIDERS), found.details
    # The app's own node would take it, and knows that the other doesn't.
    found = await ask(limited.nodes, kind, name, bytes(PROVIDERS + 1))
    check(found, "MESSAGE_TOO_LARGE", PROVIDERS, f"between this node and {limited.provider.id}")
    found = await ask(limited.nodes, kind, name, bytes(CONSUMERS + 1))
    check(found, "MESSAGE_TOO_LARGE", CONSUMERS, "from the app")
    assert [len(one) for side in limited.probe.calls(name) for one in side.received] == [PROVIDERS]
    limited.nothing_is_left()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_past_the_limit(limited: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        await side.write(bytes(PROVIDERS + 1))

    found = await ask(limited.nodes, kind, limited.probe.behave(behave), b"x")
    check(found, "MESSAGE_TOO_LARGE", PROVIDERS, "from the service")
    limited.nothing_is_left()


@pytest.mark.parametrize("kind", KINDS)
async def test_metadata_past_each_limit(limited: Ways, kind: str) -> None:
    name = limited.probe.behave(echo)
    for limit, hop in (
        (CONSUMERS // 20, "from the app"),
        (PROVIDERS // 20, f"between this node and {limited.provider.id}"),
    ):
        found = await ask(limited.nodes, kind, name, b"x", metadata=(("x-long", "v" * limit),))
        check(found, "METADATA_TOO_LARGE", limit, hop)
    assert limited.probe.calls(name) == []
    assert (await ask(limited.nodes, kind, name, b"x")).messages == (b"x",)
    limited.nothing_is_left()
