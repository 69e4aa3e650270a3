"""Groups of consumers and templates for them: what a provider's operator decides once.

`node.agreements.templates` says what then is answered without asking; here an operator approves it.
A template is refused where it could never be kept: the service is not published, its fields don't
fit the contract, this node can't sign for the provider.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from node.agreements import templates as rules
from node.agreements.drafts import ALL_FIELDS, DEFAULT_DAYS, MS_PER_DAY, check_contracts
from node.agreements.model import PartyDesk
from node.caller import CALLER
from node.store import groups, templates
from node.store.agreements import Pin, pinned_key_ids
from node.store.groups import LocalGroup
from node.store.templates import Template, TemplateAgreement
from security.agreement import AgreementTerms, Party, make_agreement
from security.agreement_compare import describe
from security.agreement_terms import NONCE_BYTES, CitizenVisibility, PayloadKeeper
from security.errors import Code, SimpulError
from security.group import check_group_name, check_group_title
from security.identifiers import MemberId, ServiceId
from simpul.node.v1 import admin_pb2

ADD: Final = "add"
INCLUDE: Final = "include"
EXCLUDE: Final = "exclude"
DROP: Final = "drop"
MAX_DAYS: Final = 36_500
# Of an agreement's terms, those that a template leaves to who asks.
_OF_THE_REQUEST: Final = frozenset(
    {"provider", "consumer", "consumer's subsystems", "valid from", "valid until"}
)


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """What an operator approves."""

    name: str
    group: str
    federation_wide: bool
    follow: bool
    # Without a consumer.
    terms: admin_pb2.AccessTerms
    answers_days: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A template as an operator sees it."""

    template: Template
    state: str
    terms: tuple[tuple[str, str], ...]
    members: tuple[MemberId, ...]
    agreements: tuple[TemplateAgreement, ...]


async def change_group(
    desk: PartyDesk, owner: MemberId, name: str, step: str, title: str, named: Sequence[MemberId]
) -> tuple[LocalGroup, tuple[bytes, ...]]:
    """Make a group, change who is in it, or drop it.

    Returns:
        The group as it is now, and the agreements that were revoked because somebody left it.

    Raises:
        SimpulError: ALREADY_EXISTS, NOT_FOUND, CHANGE_INVALID, REQUEST_MALFORMED; MEMBER_UNKNOWN,
            KEY_UNKNOWN, IDENTITY_CHANGED for a consumer whose key can't be known by.
    """
    await asyncio.to_thread(_change, desk, owner, name, step, title, tuple(named))
    ended = await rules.end_left(desk)
    if step == DROP:
        return LocalGroup(owner, name, ""), ended
    return await asyncio.to_thread(groups.get_group, desk.store, owner, name), ended


async def approve(desk: PartyDesk, new: NewTemplate) -> Shown:
    """Approve terms for a group, in the caller's name, for good or until they are ended.

    Raises:
        SimpulError: MEMBER_UNKNOWN for a provider that isn't hosted here; IDENTITY_ABSENT where
            this node can't sign for it; NOT_FOUND for the group; ALREADY_EXISTS for the name;
            SERVICE_UNKNOWN, METHOD_UNKNOWN, ACCESS_FIELDS; CHANGE_INVALID; REQUEST_MALFORMED.
    """
    return await asyncio.to_thread(_approve, desk, new)


async def end(desk: PartyDesk, owner: MemberId, name: str) -> Shown:
    """Have a template answer nothing more. What it answered stays agreed.

    Raises:
        SimpulError: NOT_FOUND; CONFLICT where it is ended.
    """
    found = await asyncio.to_thread(templates.get_template, desk.store, owner, name)
    await asyncio.to_thread(
        templates.end_template, desk.store, owner, name, CALLER.get().name, desk.time_ms()
    )
    found = await asyncio.to_thread(templates.get_template, desk.store, owner, found.name)
    return (await asyncio.to_thread(_shown, desk, [found]))[0]


def shown(desk: PartyDesk, name: str, *, every: bool) -> list[Shown]:
    """The templates in force, or with `every` all; with a name, those that bear it.

    Raises:
        SimpulError: NOT_FOUND for a name that none bears.
    """
    found = [item for item in templates.list_templates(desk.store) if name in {"", item.name}]
    if name and not found:
        raise SimpulError(
            Code.NOT_FOUND,
            f"there is no template {name[:80]!a}: `simpul access template list --all` shows them",
        )
    now_ms = desk.time_ms()
    wanted = [item for item in found if every or name or item.answers(now_ms)]
    return _shown(desk, wanted)


def _change(
    desk: PartyDesk, owner: MemberId, name: str, step: str, title: str, named: Sequence[MemberId]
) -> None:
    store = desk.store
    if step == ADD and not named:
        check_group_name(name)
        check_group_title(title)
        groups.add_group(store, LocalGroup(owner, name, title))
        return
    group = groups.get_group(store, owner, name)
    if step == INCLUDE and named:
        if owner in named:
            raise SimpulError(Code.CHANGE_INVALID, f"{owner} needs no agreement with itself")
        pins = _pins(desk, owner, named)
        groups.put_in(store, group, pins, CALLER.get().name, desk.time_ms())
    elif step == EXCLUDE and named:
        groups.take_out(store, group, named)
    elif step == DROP and not named:
        _check_unused(desk, group)
        groups.drop_group(store, group)
    else:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"{step[:40]!a} is no step of a group, or it names no members, or too many: give add, "
            "include, exclude or drop",
        )


def _check_unused(desk: PartyDesk, group: LocalGroup) -> None:
    using = [
        item.name
        for item in templates.list_templates(desk.store)
        if not item.federation_wide
        and (item.owner, item.group) == (group.owner, group.name)
        and item.answers(desk.time_ms())
    ]
    if using:
        raise SimpulError(
            Code.CONFLICT,
            f"{group.name} is the group of {', '.join(using)}: end that first (simpul access "
            "template end)",
        )


def _approve(desk: PartyDesk, new: NewTemplate) -> Shown:
    check_group_name(new.name)
    said = admin_pb2.AccessTerms()
    said.CopyFrom(new.terms)
    service = ServiceId.parse(said.service_id)
    owner = desk.require_hosted(service.subsystem).member
    # Whoever can't sign would answer nothing.
    desk.identity_key(owner)
    _check_said(said)
    if not said.methods:
        listed = desk.directory.service(service.subsystem, service.service)
        said.methods.extend(listed.contract.methods)
    said.valid_days = said.valid_days or DEFAULT_DAYS
    days = new.answers_days or DEFAULT_DAYS
    if days > MAX_DAYS:
        raise SimpulError(Code.REQUEST_MALFORMED, f"it answers for {MAX_DAYS} days at most")
    now_ms = desk.time_ms()
    members = _of_group(desk, owner, new)
    template = Template(
        owner=owner,
        name=new.name,
        group=new.group,
        federation_wide=new.federation_wide,
        follow=new.follow,
        terms=said,
        approved_by=CALLER.get().name,
        approved_at_ms=now_ms,
        expires_at_ms=now_ms + days * MS_PER_DAY,
        members=members,
    )
    terms = _terms(desk, template)
    # What could not be an agreement is refused now, and not when somebody asks.
    make_agreement(terms)
    check_contracts(terms, desk.directory)
    pins = _pins(desk, owner, sorted(members, key=str))
    _check_known(desk, owner, pins)
    templates.add_template(desk.store, template, pins)
    return _shown(desk, [template])[0]


def _check_said(said: admin_pb2.AccessTerms) -> None:
    if said.consumer or said.replaces or said.valid_from_ms or said.on_behalf_of:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            "a template names no consumer, nobody acted for, no first day and nothing that it "
            "renews: who asks does",
        )
    if not said.purposes:
        raise SimpulError(
            Code.REQUEST_MALFORMED, "a template says what the data are for: name a purpose"
        )


def _of_group(desk: PartyDesk, owner: MemberId, new: NewTemplate) -> frozenset[MemberId]:
    """Who is in a federation-wide group now, and can be known; none of a group of the owner's own.

    Its own group it changes itself, so who joins that one later is meant, too.
    """
    if not new.federation_wide:
        if new.follow:
            raise SimpulError(
                Code.REQUEST_MALFORMED, "only a federation-wide group can be followed"
            )
        groups.get_group(desk.store, owner, new.group)
        return frozenset()
    group = desk.directory.groups.get(new.group)
    if group is None or group.retired:
        raise SimpulError(
            Code.NOT_FOUND,
            f"the directory has no group {new.group[:80]!a}: `simpul access group list` shows "
            "those there are",
        )
    listed = desk.directory.members
    return frozenset(
        member
        for member in group.members - {owner}
        if member in listed and listed[member].statement is not None
    )


def _pins(desk: PartyDesk, owner: MemberId, members: Iterable[MemberId]) -> list[Pin]:
    return [Pin(owner, member, desk.directory.identity_key(member)) for member in members]


def _check_known(desk: PartyDesk, owner: MemberId, pins: Iterable[Pin]) -> None:
    """Name all members of a group that are known by another key: each is for an operator to ask."""
    known = pinned_key_ids(desk.store, owner)
    changed = [
        str(pin.member)
        for pin in pins
        if known.get(str(pin.member), pin.key.key_id) != pin.key.key_id
    ]
    if changed:
        raise SimpulError(
            Code.IDENTITY_CHANGED,
            f"nothing was approved: of the group, {', '.join(changed)} "
            f"{'shows' if len(changed) == 1 else 'show'} another identity key than the one pinned "
            "here: compare fingerprints by voice and pin the new key, or have them taken out of "
            "the group; then approve again",
            members=", ".join(changed),
        )


def _terms(desk: PartyDesk, template: Template) -> AgreementTerms:
    """The widest agreement that it permits, for the provider itself: to look at, not to sign."""
    owner, now_ms = template.owner, template.approved_at_ms
    itself = Party(owner, desk.directory.identity_key(owner).key_id)
    subsystem = ServiceId.parse(template.terms.service_id).subsystem
    asked = AgreementTerms(
        nonce=os.urandom(NONCE_BYTES),
        provider=itself,
        consumer=itself,
        delegator=None,
        provider_subsystem=subsystem,
        consumer_subsystems=(subsystem,),
        services=(),
        purposes=(),
        request_fields=ALL_FIELDS,
        response_fields=ALL_FIELDS,
        rate=None,
        valid_from_ms=now_ms,
        valid_until_ms=now_ms + 1,
        payload_keeper=PayloadKeeper.NONE,
        consumer_retention_days=None,
        citizen_visibility=CitizenVisibility.VISIBLE,
        issued_at_ms=now_ms,
        replaces=None,
        hours=(),
    )
    return rules.bound(template, asked, now_ms)


def _shown(desk: PartyDesk, wanted: Sequence[Template]) -> list[Shown]:
    local = rules.local_groups(desk.store)
    answered: dict[tuple[MemberId, str], list[TemplateAgreement]] = {}
    for item in templates.list_answered(desk.store):
        answered.setdefault((item.owner, item.template), []).append(item)
    shown = []
    for template in wanted:
        members = rules.answered_members(local, desk.directory, template)
        shown.append(
            Shown(
                template=template,
                state=_state(desk, template),
                terms=_in_words(desk, template),
                members=tuple(sorted(members, key=str)),
                agreements=tuple(answered.get((template.owner, template.name), ())),
            )
        )
    return shown


def _in_words(desk: PartyDesk, template: Template) -> tuple[tuple[str, str], ...]:
    said = [
        (name, says)
        for name, says in describe(_terms(desk, template))
        if name not in _OF_THE_REQUEST
    ]
    return (*said, ("an agreement holds for", f"{template.terms.valid_days} days at most"))


def _state(desk: PartyDesk, template: Template) -> str:
    if template.ended_at_ms:
        return "ended"
    if not template.answers(desk.time_ms()):
        return "expired"
    if template.federation_wide:
        listed = desk.directory.groups.get(template.group)
        if listed is None or listed.retired:
            return "group is gone"
    return "in force"
