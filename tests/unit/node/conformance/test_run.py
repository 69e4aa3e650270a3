"""A node of ours passes every check; one that skips a step fails the check of that step."""

from dataclasses import replace

import pytest

from node.conformance.model import Outcome, Result
from node.conformance.probe import Parties
from node.conformance.run import CHECKS, make, run
from security import receiver_steps
from security.errors import Code, SimpulError
from tests.conformance import fixed
from tests.support.pair import Pair, pair


def _parties(two: Pair) -> Parties:
    """The consumer's node checks the provider's."""
    half = two.consumer
    return Parties(
        node=half.node,
        member=fixed.MINISTRY,
        node_key=fixed.key(f"{half.node} node"),
        seal_key=fixed.key(f"{fixed.MINISTRY} seal"),
        peer=two.provider.node,
        peer_member=fixed.REGENCY,
        address=two.provider.address,
        directory=half.current.directory,
        credentials=half.credentials,
        now_ms=lambda: fixed.NOW_MS,
    )


async def _made(two: Pair, name: str) -> Outcome:
    number, check = next((n, item) for n, item in enumerate(CHECKS, 1) if item.name == name)
    return await make(number, check, _parties(two))


async def test_a_node_of_ours_passes_every_check_and_serves_nothing() -> None:
    async with pair() as two:
        outcomes = [outcome async for outcome in run(_parties(two))]
        wrong = [(o.check.name, o.seen, o.detail) for o in outcomes if o.result != Result.PASSED]
        assert wrong == []
        assert len(outcomes) == len(CHECKS)
        assert two.provider.services.seen == []


# A step of the receiver's list that a broken node doesn't take, and the check that tells.
SKIPPED = [
    ("check_address", "a parcel with another link's id"),
    ("check_time", "a parcel sealed 2 minutes ahead"),
    ("check_root", "a wrong count of entries"),
    ("check_seal", "a seal of another key"),
    ("check_commitments", "a payload that isn't the one committed to"),
]


@pytest.mark.parametrize(("step", "name"), SKIPPED)
async def test_a_node_that_skips_a_step_fails_its_check(
    monkeypatch: pytest.MonkeyPatch, step: str, name: str
) -> None:
    monkeypatch.setattr(receiver_steps, step, lambda *_, **__: None)
    async with pair() as two:
        outcome = await _made(two, name)
        assert outcome.result is Result.FAILED
        assert outcome.seen == "taken"


async def test_a_node_that_takes_any_signature_fails_that_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("security.greeting._check_signature", lambda *_: None)
    async with pair() as two:
        outcome = await _made(two, "a greeting with a bad signature")
        assert (outcome.result, outcome.seen) == (Result.FAILED, "link")


async def test_a_node_without_room_fails_nothing_and_passes_nothing() -> None:
    async with pair() as two:
        two.provider.server._draining = True
        outcome = await _made(two, "a seal of another key")
        assert (outcome.result, outcome.seen) == (Result.NOT_MADE, Code.NODE_DRAINING)


async def test_a_node_that_is_not_there_is_an_error_and_no_table() -> None:
    async with pair() as two:
        nobody = replace(_parties(two), address="127.0.0.1:1")
        with pytest.raises(SimpulError) as caught:
            _ = [outcome async for outcome in run(nobody)]
        assert caught.value.code is Code.PEER_UNREACHABLE


def test_names_are_each_given_once() -> None:
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))
