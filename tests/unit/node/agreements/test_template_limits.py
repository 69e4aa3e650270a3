"""What bounds a template: no limit twice, nobody who is out of the group, no key that was replaced.

And that groups are read once, however many are in them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from node import admin_templates
from node.admin_templates import TemplateAdmin
from node.agreements import own, received
from node.agreements import templates as rules
from node.agreements.drafts import MS_PER_DAY
from node.agreements.telling import Teller
from node.agreements.templates import end_left, fitting
from node.operations import templates
from node.store.agreements import (
    Pin,
    StoredAgreement,
    list_pins,
    pin_within,
    pinned_key_ids,
    replace_pin,
)
from node.store.engine import Store
from node.store.groups import LocalGroup, list_groups
from node.store.templates import list_answered
from security.agreement import parse_agreement
from security.agreement_life import Life, Party
from security.errors import Code, SimpulError
from security.group import GroupView
from simpul.node.v1 import admin_pb2
from tests.conformance import fixed
from tests.unit.node.agreements.desks import NOW_MS, Desk, desks
from tests.unit.node.agreements.test_templates import (
    EQUAL,
    GROUP,
    approved,
    ask,
    directory,
    life,
    new,
)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    with desks(tmp_path) as made:
        yield made


def days_later(two: tuple[Desk, Desk], days: int = 1) -> None:
    for desk in two:
        desk.now_ms += days * MS_PER_DAY


async def test_a_second_agreement_needs_an_operator_unless_it_renews_the_first(
    two: tuple[Desk, Desk],
) -> None:
    provider, consumer = two
    await approved(provider)
    first = await ask(consumer)
    days_later(two)
    second = await ask(consumer)
    assert life(provider, second) is Life.REQUESTED
    renewed = await ask(consumer, replace(EQUAL, replaces=first.hash))
    assert life(provider, renewed) is Life.AGREED
    # One limit, not two.
    assert life(provider, first) is Life.REVOKED
    assert list(provider.pushed.by_hash) == [renewed.hash]
    await Teller(provider).tell()
    assert life(consumer, first) is Life.REVOKED
    # And none anew before a day is over.
    third = await ask(consumer, replace(EQUAL, replaces=renewed.hash))
    assert life(provider, third) is Life.REQUESTED
    days_later(two)
    fourth = await ask(consumer, replace(EQUAL, replaces=renewed.hash))
    assert life(provider, fourth) is Life.AGREED


async def test_a_renewal_that_begins_later_waits(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    await approved(provider)
    first = await ask(consumer)
    days_later(two)
    later = {"replaces": first.hash, "valid_from_ms": consumer.now_ms + MS_PER_DAY}
    made = await ask(consumer, replace(EQUAL, valid_days=89, **later))  # type: ignore[arg-type]
    assert life(provider, made) is Life.REQUESTED
    assert life(provider, first) is Life.AGREED


@pytest.mark.parametrize("who", ["consumer", "provider"])
async def test_who_revokes_asks_an_operator_the_next_time(two: tuple[Desk, Desk], who: str) -> None:
    provider, consumer = two
    await approved(provider)
    made = await ask(consumer)
    revoking = consumer if who == "consumer" else provider
    # The words say nothing where the consumer says them.
    await own.revoke(revoking, made.hash, f"{fixed.MINISTRY} is no longer with us")
    await Teller(revoking).tell()
    days_later(two)
    assert life(provider, await ask(consumer)) is Life.REQUESTED
    assert life(provider, await ask(consumer, replace(EQUAL, replaces=made.hash))) is Life.REQUESTED
    days_later(two, 89)
    assert life(provider, await ask(consumer)) is Life.AGREED


async def test_a_consumer_can_t_say_that_it_lost_its_place(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    await approved(provider)
    made = await ask(consumer)
    await own.revoke(consumer, made.hash, f"{fixed.MINISTRY} is no longer in the group {GROUP}")
    await Teller(consumer).tell()
    days_later(two)
    assert life(provider, await ask(consumer)) is Life.REQUESTED


async def test_what_is_over_soon_is_not_answered_again_soon(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    await approved(provider)
    made = await ask(consumer, replace(EQUAL, valid_days=1))
    assert life(provider, made) is Life.AGREED
    for desk in two:
        desk.now_ms += MS_PER_DAY - 1
    assert life(provider, await ask(consumer, replace(EQUAL, replaces=made.hash))) is Life.REQUESTED
    for desk in two:
        desk.now_ms += 1
    assert life(provider, await ask(consumer)) is Life.AGREED


async def test_who_is_back_in_the_group_is_answered_again(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    await approved(provider)
    await ask(consumer)
    for step in ("exclude", "include"):
        await templates.change_group(provider, fixed.REGENCY, GROUP, step, "", [fixed.MINISTRY])
    await Teller(provider).tell()
    assert life(provider, await ask(consumer)) is Life.AGREED


async def test_who_is_taken_out_while_it_is_answered_has_nothing(
    two: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, consumer = two
    await approved(provider)

    async def late(*args: Any) -> StoredAgreement:
        await templates.change_group(
            provider, fixed.REGENCY, GROUP, "exclude", "", [fixed.MINISTRY]
        )
        return await own.accept(*args)

    monkeypatch.setattr(received, "accept", late)
    made = await ask(consumer)
    assert life(provider, made) is Life.REVOKED
    assert made.hash not in provider.pushed.by_hash
    await Teller(provider).tell()
    assert life(consumer, made) is Life.REVOKED


async def test_a_template_doesn_t_answer_an_identity_key_that_was_replaced(
    two: tuple[Desk, Desk],
) -> None:
    provider, consumer = two
    await approved(provider)
    made = await own.propose(consumer, EQUAL, Party.CONSUMER, "")
    terms = parse_agreement(made.agreement)
    assert fitting(provider, terms) is not None
    (pin,) = list_pins(provider.store)
    new_key = fixed.key("new identity")
    replace_pin(provider.store, pin, new_key.public, NOW_MS)
    assert fitting(provider, terms) is None
    party = replace(terms.consumer, identity_key_id=new_key.public.key_id)
    assert fitting(provider, replace(terms, consumer=party)) is not None


async def test_an_approval_names_all_members_whose_keys_have_changed(
    two: tuple[Desk, Desk],
) -> None:
    provider, _ = two
    group = GroupView("dinas", 1, "Agencies", frozenset({fixed.MINISTRY}))
    provider.directory = directory(group)
    with provider.store.transaction() as session:
        pin_within(session, Pin(fixed.REGENCY, fixed.MINISTRY, fixed.key("other").public), NOW_MS)
    with pytest.raises(SimpulError, match="nothing was approved") as caught:
        await templates.approve(provider, new(group="dinas", federation_wide=True))
    assert caught.value.code is Code.IDENTITY_CHANGED
    assert caught.value.details["members"] == str(fixed.MINISTRY)
    assert templates.shown(provider, "", every=True) == []


async def test_groups_are_read_once_for_all_that_they_are_looked_at_for(
    two: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, consumer = two
    await approved(provider)
    await templates.approve(provider, new(name="baca-lagi"))
    await ask(consumer)
    # By the second template, as the first has answered.
    await ask(consumer)
    assert len(list_answered(provider.store)) == 2
    reads = []

    def counted(store: Store) -> tuple[LocalGroup, ...]:
        reads.append(store)
        return list_groups(store)

    monkeypatch.setattr(rules, "list_groups", counted)
    assert await end_left(provider) == ()
    assert len(reads) == 1
    assert len(templates.shown(provider, "", every=True)) == 2
    assert len(reads) == 2


async def test_groups_are_shown_with_keys_that_are_read_once(
    two: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, _ = two
    await approved(provider)
    reads = []

    def counted(*args: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        reads.append(args)
        return pinned_key_ids(*args)

    monkeypatch.setattr(admin_templates, "pinned_key_ids", counted)
    admin = cast("Any", TemplateAdmin)()
    admin._desk = provider
    answer = await admin.ListGroups(admin_pb2.ListGroupsRequest(), cast("Any", None))
    (member,) = answer.groups[0].members
    assert member.identity_key_id == fixed.key(f"{fixed.MINISTRY} identity").public.key_id
    assert len(reads) == 1
