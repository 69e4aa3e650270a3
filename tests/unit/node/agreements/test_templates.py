"""Templates: what is signed because an operator approved it beforehand, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from node.agreements import own
from node.agreements.drafts import MS_PER_DAY, Draft
from node.agreements.telling import Teller
from node.agreements.templates import end_left
from node.caller import CALLER, Caller
from node.operations import templates
from node.operations.templates import NewTemplate
from node.store.agreement_lives import get_standing, list_steps
from node.store.agreements import StoredAgreement, list_pins
from node.store.templates import list_answered
from security.agreement import (
    CitizenVisibility,
    FieldTerm,
    HoursTerm,
    LegalBasis,
    PayloadKeeper,
    PurposeTerm,
    RateTerm,
)
from security.agreement_life import Life, Party, Step
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.group import GroupView, group_message, group_path
from security.identifiers import ServiceId
from security.statement import make_statement
from simpul.node.v1 import admin_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.unit.node.agreements.desks import NOW_MS, Desk, desks

GROUP: Final = "mitra-wisata"
NAME: Final = "baca-wisata"
SERVICE: Final = ServiceId(fixed.TOURISM, fixed.SERVICE)
PURPOSE: Final = PurposeTerm("layanan-wisata", LegalBasis.PUBLIC_TASK, "layanan-wisata")

# What an operator approves, and the widest request that fits it.
APPROVED: Final = admin_pb2.AccessTerms(
    service_id=str(SERVICE),
    methods=["Get", "List"],
    purposes=[
        admin_pb2.AccessPurpose(
            id="layanan-wisata", legal_basis="PUBLIC_TASK", description="Show islands"
        )
    ],
    response_fields=admin_pb2.AccessFields(paths=["Get/name", "Get/keeper", "List/name"]),
    request_fields=admin_pb2.AccessFields(reason="names of islands are asked for"),
    rate=admin_pb2.AccessRate(calls_per_second=10, burst=20, calls_per_day=1000),
    hours=["08:00-16:00"],
    valid_days=90,
    payload_keeper="provider",
    consumer_retention_days=30,
)
EQUAL: Final = Draft(
    fixed.SUPER_APP,
    SERVICE,
    methods=("Get", "List"),
    purposes=(PURPOSE,),
    request_fields=FieldTerm(None, "to ask by name"),
    response_fields=FieldTerm(("Get/name", "Get/keeper", "List/name")),
    rate=RateTerm(10, 20, 1000),
    valid_days=90,
    hours=(HoursTerm(8 * 60, 16 * 60),),
    payload_keeper=PayloadKeeper.PROVIDER,
    consumer_retention_days=30,
)
NAMES_OF_WATCH: Final = FieldTerm(("Get/name", "Watch/name"))
OTHER_PURPOSE: Final = PurposeTerm("riset", LegalBasis.PUBLIC_TASK, "riset")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    with desks(tmp_path) as made:
        yield made


def new(**changes: object) -> NewTemplate:
    made = NewTemplate(NAME, GROUP, federation_wide=False, follow=False, terms=APPROVED,
                       answers_days=0)  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


async def approved(desk: Desk) -> None:
    """A group with the ministry, and a template for it, by a person with a name."""
    token = CALLER.set(Caller("wayan"))
    try:
        await templates.change_group(desk, fixed.REGENCY, GROUP, "add", "Partners", [])
        await templates.change_group(desk, fixed.REGENCY, GROUP, "include", "", [fixed.MINISTRY])
        await templates.approve(desk, new())
    finally:
        CALLER.reset(token)


async def ask(consumer: Desk, draft: Draft = EQUAL) -> StoredAgreement:
    made = await own.propose(consumer, draft, Party.CONSUMER, "please")
    assert await Teller(consumer).tell() is None
    return made


def life(desk: Desk, agreement: StoredAgreement) -> Life:
    return get_standing(desk.store, agreement.hash).life


def directory(group: GroupView | None) -> DirectoryView:
    if group is None:
        return directories.directory()
    data = group_message(group, fixed.FEDERATION).SerializeToString(deterministic=True)
    return directories.build(directories.targets(changed={group_path(group.name): data}))


async def test_a_request_that_fits_is_signed_at_once_and_says_why(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    await approved(provider)
    made = await ask(consumer)
    assert life(provider, made) is life(consumer, made) is Life.AGREED
    assert made.hash in provider.pushed.by_hash
    assert made.hash in consumer.pushed.by_hash
    (accepted,) = [
        step for step in list_steps(provider.store, made.hash) if step.step is Step.ACCEPT
    ]
    assert accepted.reason == "by template baca-wisata, which wayan approved"
    (shown,) = templates.shown(provider, NAME, every=False)
    assert (shown.template.approved_by, shown.template.approved_at_ms) == ("wayan", NOW_MS)
    assert [item.agreement for item in shown.agreements] == [made.hash]


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({"methods": ("Get",), "response_fields": FieldTerm(("Get/name",))}, True),
        ({"methods": ("Get", "Watch"), "response_fields": NAMES_OF_WATCH}, False),
        ({"methods": (), "response_fields": FieldTerm(None, "all is needed")}, False),
        ({"purposes": (replace(PURPOSE, description="Show islands"),)}, True),
        ({"purposes": (replace(PURPOSE, description="Sell them"),)}, False),
        ({"purposes": (PURPOSE, OTHER_PURPOSE)}, False),
        ({"purposes": (OTHER_PURPOSE,)}, False),
        ({"purposes": (replace(PURPOSE, legal_basis=LegalBasis.CONTRACT),)}, False),
        ({"request_fields": FieldTerm(("Get/name", "List/name"))}, True),
        ({"response_fields": FieldTerm(("Get/name", "List/name"))}, True),
        ({"response_fields": FieldTerm(("Get/name", "List/keeper"))}, False),
        ({"response_fields": FieldTerm(None, "all is needed")}, False),
        ({"rate": RateTerm(1, 1, 10)}, True),
        ({"rate": RateTerm(11, 20, 1000)}, False),
        ({"rate": RateTerm(10, 21, 1000)}, False),
        ({"rate": RateTerm(10, 20, 1001)}, False),
        ({"rate": RateTerm(10, 20, 0)}, False),
        ({"rate": None}, False),
        ({"hours": (HoursTerm(9 * 60, 10 * 60),)}, True),
        ({"hours": (HoursTerm(8 * 60, 16 * 60 + 1),)}, False),
        ({"hours": ()}, False),
        ({"valid_days": 1}, True),
        ({"valid_days": 91}, False),
        ({"valid_from_ms": NOW_MS - MS_PER_DAY, "valid_days": 2}, False),
        ({"valid_from_ms": NOW_MS + MS_PER_DAY, "valid_days": 89}, True),
        ({"valid_from_ms": NOW_MS + 2 * MS_PER_DAY, "valid_days": 90}, False),
        ({"payload_keeper": PayloadKeeper.NONE}, True),
        ({"payload_keeper": PayloadKeeper.BOTH}, False),
        ({"payload_keeper": PayloadKeeper.CONSUMER}, False),
        ({"consumer_retention_days": 0}, True),
        ({"consumer_retention_days": 31}, False),
        ({"consumer_retention_days": None}, False),
        ({"citizen_visibility": CitizenVisibility.HIDDEN}, False),
    ],
)
async def test_a_request_may_say_less_and_never_more(
    two: tuple[Desk, Desk], changed: dict[str, object], fits: bool
) -> None:
    provider, consumer = two
    await approved(provider)
    made = await ask(consumer, replace(EQUAL, **changed))  # type: ignore[arg-type]
    assert life(provider, made) is (Life.AGREED if fits else Life.REQUESTED)


async def test_without_the_group_nothing_is_answered(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    await templates.change_group(provider, fixed.REGENCY, GROUP, "add", "Partners", [])
    await templates.approve(provider, new())
    assert life(provider, await ask(consumer)) is Life.REQUESTED


async def test_who_leaves_the_group_loses_what_came_of_it(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    await approved(provider)
    made = await ask(consumer)
    by_hand = await ask(consumer, replace(EQUAL, valid_days=91))
    await own.accept(provider, by_hand.hash)
    _, ended = await templates.change_group(
        provider, fixed.REGENCY, GROUP, "exclude", "", [fixed.MINISTRY]
    )
    assert ended == (made.hash,)
    assert made.hash not in provider.pushed.by_hash
    # What an operator signed isn't the group's.
    assert by_hand.hash in provider.pushed.by_hash
    await Teller(provider).tell()
    assert life(consumer, made) is Life.REVOKED
    assert "no longer in the group" in list_steps(consumer.store, made.hash)[-1].reason
    assert life(provider, await ask(consumer)) is Life.REQUESTED
    assert list_answered(provider.store)[0].life is Life.REVOKED


async def test_an_ended_or_expired_template_answers_nothing_and_ends_nothing(
    two: tuple[Desk, Desk],
) -> None:
    provider, consumer = two
    await approved(provider)
    made = await ask(consumer)
    ended = await templates.end(provider, fixed.REGENCY, NAME)
    assert (ended.state, ended.template.ended_by) == ("ended", "local administrator")
    assert await end_left(provider) == ()
    assert life(provider, made) is Life.AGREED
    await own.revoke(consumer, made.hash, "no need")
    await Teller(consumer).tell()
    assert life(provider, await ask(consumer)) is Life.REQUESTED
    with pytest.raises(SimpulError, match="ended already"):
        await templates.end(provider, fixed.REGENCY, NAME)
    provider.now_ms += 1
    await templates.approve(provider, new(name="baca-lagi", answers_days=1))
    for desk in two:
        desk.now_ms += MS_PER_DAY
    assert life(provider, await ask(consumer)) is Life.REQUESTED
    assert [item.state for item in templates.shown(provider, "", every=True)] == [
        "ended", "expired",
    ]  # fmt: skip
    assert templates.shown(provider, "", every=False) == []


async def test_the_federation_s_group_as_it_was_approved(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    group = GroupView("dinas", 1, "Agencies", frozenset({fixed.MINISTRY}))
    provider.directory = directory(group)
    wide = new(group="dinas", federation_wide=True)
    assert (await templates.approve(provider, wide)).members == (fixed.MINISTRY,)
    assert [(pin.owner, pin.member) for pin in list_pins(provider.store)] == [
        (fixed.REGENCY, fixed.MINISTRY)
    ]
    made = await ask(consumer)
    assert life(provider, made) is Life.AGREED
    # Out of the group by a newer directory: revoked, and not answered again before it is back.
    provider.directory = directory(replace(group, number=2, members=frozenset()))
    assert await end_left(provider) == (made.hash,)
    assert life(provider, await ask(consumer)) is Life.REQUESTED
    provider.directory = directory(replace(group, number=3))
    assert life(provider, await ask(consumer)) is Life.AGREED
    provider.directory = directory(None)
    assert len(await end_left(provider)) == 1


@pytest.mark.parametrize("follow", [False, True])
async def test_who_joins_the_federation_s_group_later_is_answered_only_if_it_is_followed(
    two: tuple[Desk, Desk], follow: bool
) -> None:
    provider, consumer = two
    group = GroupView("dinas", 1, "Agencies", frozenset())
    provider.directory = directory(group)
    await templates.approve(provider, new(group="dinas", federation_wide=True, follow=follow))
    provider.directory = directory(replace(group, number=2, members=frozenset({fixed.MINISTRY})))
    made = await ask(consumer)
    assert life(provider, made) is (Life.AGREED if follow else Life.REQUESTED)


async def test_another_identity_key_than_the_one_at_the_inclusion_is_refused(
    two: tuple[Desk, Desk],
) -> None:
    provider, consumer = two
    await approved(provider)
    record = directories.ministry_record()
    stranger, seal = fixed.key("stranger"), fixed.key(f"{fixed.MINISTRY} seal")
    view = directories.statement_view(fixed.MINISTRY, fixed.MINISTRY_NODE, stranger, seal)
    record.statement.CopyFrom(make_statement(view, stranger))
    false = directories.directory(directories.regency_record(), record)
    provider.directory = consumer.directory = false
    consumer.identity_keys[fixed.MINISTRY] = stranger
    made = await own.propose(consumer, EQUAL, Party.CONSUMER)
    await Teller(consumer).tell()
    assert life(consumer, made) is Life.DECLINED
    assert "IDENTITY_CHANGED" in list_steps(consumer.store, made.hash)[-1].reason


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"group": "nobody"}, Code.NOT_FOUND),
        ({"group": "nobody", "federation_wide": True}, Code.NOT_FOUND),
        ({"follow": True}, Code.REQUEST_MALFORMED),
        ({"name": "Not a name"}, Code.CHANGE_INVALID),
        ({"answers_days": 36_501}, Code.REQUEST_MALFORMED),
    ],
)
async def test_a_template_that_can_t_be_is_refused(
    two: tuple[Desk, Desk], change: dict[str, object], code: Code
) -> None:
    provider, _ = two
    await templates.change_group(provider, fixed.REGENCY, GROUP, "add", "Partners", [])
    with pytest.raises(SimpulError) as caught:
        await templates.approve(provider, new(**change))
    assert caught.value.code is code
    assert templates.shown(provider, "", every=True) == []


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"purposes": []}, Code.REQUEST_MALFORMED),
        ({"consumer": str(fixed.SUPER_APP)}, Code.REQUEST_MALFORMED),
        ({"valid_from_ms": NOW_MS}, Code.REQUEST_MALFORMED),
        ({"methods": ["Nothing"], "response_fields": None}, Code.METHOD_UNKNOWN),
        ({"service_id": f"{fixed.SUPER_APP}/wisata.v1.Wisata"}, Code.MEMBER_UNKNOWN),
        ({"response_fields": admin_pb2.AccessFields(paths=["Get/nothing"])}, Code.ACCESS_FIELDS),
        ({"hours": ["8-16"]}, Code.REQUEST_MALFORMED),
    ],
)
async def test_terms_that_could_not_be_kept_are_refused(
    two: tuple[Desk, Desk], terms: dict[str, object], code: Code
) -> None:
    provider, _ = two
    await templates.change_group(provider, fixed.REGENCY, GROUP, "add", "Partners", [])
    said = admin_pb2.AccessTerms()
    said.CopyFrom(APPROVED)
    for name, value in terms.items():
        said.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            said.MergeFrom(admin_pb2.AccessTerms(**{name: value}))  # type: ignore[arg-type]
    with pytest.raises(SimpulError) as caught:
        await templates.approve(provider, new(terms=said))
    assert caught.value.code is code


async def test_only_a_node_that_can_sign_approves(two: tuple[Desk, Desk]) -> None:
    provider, _ = two
    await templates.change_group(provider, fixed.REGENCY, GROUP, "add", "Partners", [])
    provider.has_identity = False
    with pytest.raises(SimpulError) as caught:
        await templates.approve(provider, new())
    assert caught.value.code is Code.IDENTITY_ABSENT


async def test_names_are_taken_once_and_groups_in_use_stay(two: tuple[Desk, Desk]) -> None:
    provider, _ = two
    await approved(provider)
    with pytest.raises(SimpulError, match="has a group"):
        await templates.change_group(provider, fixed.REGENCY, GROUP, "add", "Others", [])
    with pytest.raises(SimpulError, match="choose another name"):
        await templates.approve(provider, new())
    with pytest.raises(SimpulError, match="end that first"):
        await templates.change_group(provider, fixed.REGENCY, GROUP, "drop", "", [])
    await templates.end(provider, fixed.REGENCY, NAME)
    await templates.change_group(provider, fixed.REGENCY, GROUP, "drop", "", [])
    with pytest.raises(SimpulError, match="has no group"):
        await templates.change_group(
            provider, fixed.REGENCY, GROUP, "include", "", [fixed.MINISTRY]
        )


@pytest.mark.parametrize(
    ("step", "named", "code"),
    [
        ("include", [fixed.REGENCY], Code.CHANGE_INVALID),
        ("include", [], Code.REQUEST_MALFORMED),
        ("exclude", [fixed.MINISTRY], Code.NOT_FOUND),
        ("drop", [fixed.MINISTRY], Code.REQUEST_MALFORMED),
        ("rename", [], Code.REQUEST_MALFORMED),
    ],
)
async def test_steps_of_a_group_that_can_t_be_are_refused(
    two: tuple[Desk, Desk], step: str, named: list[object], code: Code
) -> None:
    provider, _ = two
    await templates.change_group(provider, fixed.REGENCY, GROUP, "add", "Partners", [])
    with pytest.raises(SimpulError) as caught:
        await templates.change_group(
            provider,
            fixed.REGENCY,
            GROUP,
            step,
            "",
            named,  # type: ignore[arg-type]
        )
    assert caught.value.code is code
