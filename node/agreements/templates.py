"""Templates: requests that are answered because an operator approved them beforehand, for a group.

An agreement that comes of a template is one like any other, signed by the provider's identity key;
the template only stands in for the operator who would have said yes. The rules, by which a request
fits:

1. The template is in force: not ended, not expired, its provider is the request's.
2. The consumer is in the template's group now; in a federation-wide one it was at the approval too,
   unless the template follows the group.
3. The request names the consumer's identity key that is pinned now: the one as it was put in or at
   the approval, or one that followed it by a succession. One that was replaced answers for nobody
   any more, though what it signed is still verified by it. Only of a group that is followed a
   member's key may be new; a registry that was captured could show a false one then.
4. The request permits nothing that the template doesn't, by the terms' own comparison; nobody else
   stands behind it; its purposes are said in the template's words, or in none of their own.
5. The consumer has had no other agreement by this template whose time isn't over, but one that this
   one renews; and none within a day. A rate would otherwise be had as often as it is asked for. One
   that was revoked counts too, whoever did it, but not one that the consumer lost with its place in
   the group: whoever is back is answered again.

What doesn't fit waits for an operator, as if there were no template. Whoever leaves the group loses
the agreements that came of it, and whoever has one renewed the earlier one: they are revoked.

Source: docs/spec, "Agreements: templates"; docs/adr/0027-templates.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from node.agreements.drafts import ALL_FIELDS, MS_PER_DAY
from node.agreements.model import PartyDesk
from node.agreements.own import revoke
from node.agreements.words import draft
from node.store.agreement_lives import list_steps
from node.store.agreements import get_agreement, pinned_key_id
from node.store.engine import Store
from node.store.groups import list_groups
from node.store.templates import (
    Template,
    TemplateAgreement,
    list_answered,
    list_templates,
)
from security.agreement import AgreementTerms, ServiceTerm, parse_agreement
from security.agreement_compare import check_narrower
from security.agreement_life import Life, Party, Step
from security.agreement_terms import CitizenVisibility, PayloadKeeper
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from simpul.node.v1 import admin_pb2

_log = structlog.get_logger(__name__)

LocalGroups = Mapping[tuple[MemberId, str], frozenset[MemberId]]

# How far apart two nodes' clocks may be, and a request on its way.
CLOCKS_MS: Final = 10 * 60 * 1000


def fitting(desk: PartyDesk, terms: AgreementTerms) -> Template | None:
    """The first template by which a consumer's request may be answered at once, if there is one."""
    now_ms, store = desk.time_ms(), desk.store
    local = local_groups(store)
    for template in list_templates(store):
        # 1. In force.
        if not template.answers(now_ms) or template.owner != terms.provider.member:
            continue
        # 2. In the group.
        if terms.consumer.member not in answered_members(local, desk.directory, template):
            continue
        why = _why_not(desk, template, terms)
        if why is None:
            return template
        _log.info(
            "request doesn't fit template", template=template.name,
            consumer=str(terms.consumer.member), why=why,
        )  # fmt: skip
    return None


def local_groups(store: Store) -> LocalGroups:
    """Who is in the hosted members' own groups, by owner and name; to be read once for many."""
    return {(group.owner, group.name): group.ids for group in list_groups(store)}


def answered_members(
    local: LocalGroups, directory: DirectoryView, template: Template
) -> frozenset[MemberId]:
    """Whose requests a template answers, as the group is now."""
    if not template.federation_wide:
        return local.get((template.owner, template.group), frozenset())
    listed = directory.groups.get(template.group)
    if listed is None:
        return frozenset()
    return listed.members if template.follow else listed.members & template.members


def bound(template: Template, asked: AgreementTerms, now_ms: int) -> AgreementTerms:
    """All that a template permits whoever asks: its terms, with the parties and dates of `asked`.

    Raises:
        SimpulError: REQUEST_MALFORMED, ID_MALFORMED for terms that can be none.
    """
    said = admin_pb2.AccessTerms()
    said.CopyFrom(template.terms)
    said.consumer = str(asked.consumer_subsystems[0])
    terms = draft(said)
    return replace(
        asked,
        delegator=None,
        delegation=None,
        provider_subsystem=terms.service.subsystem,
        services=(ServiceTerm(terms.service.service, terms.methods),),
        purposes=terms.purposes,
        request_fields=terms.request_fields or ALL_FIELDS,
        response_fields=terms.response_fields or ALL_FIELDS,
        rate=terms.rate,
        valid_from_ms=template.approved_at_ms - CLOCKS_MS,
        valid_until_ms=now_ms + (terms.valid_days or 0) * MS_PER_DAY + CLOCKS_MS,
        payload_keeper=terms.payload_keeper or PayloadKeeper.NONE,
        consumer_retention_days=terms.consumer_retention_days,
        citizen_visibility=terms.citizen_visibility or CitizenVisibility.VISIBLE,
        hours=terms.hours,
    )


async def end_left(desk: PartyDesk, consumer: MemberId | None = None) -> tuple[bytes, ...]:
    """Revoke the agreements by templates whose consumers have left the group, or renewed them.

    Returns which; of one consumer's, or of all.

    One that can't be revoked now is logged, and tried again the next time.
    """
    ended = []
    for item, why in await asyncio.to_thread(_left, desk, consumer):
        try:
            await revoke(desk, item.agreement, why)
        except SimpulError as error:
            if error.code is not Code.CONFLICT:
                _log.error(
                    "agreement by a template not revoked", code=error.code,
                    agreement=item.agreement.hex()[:16], why=error.message,
                )  # fmt: skip
            continue
        ended.append(item.agreement)
        _log.info(
            "agreement revoked", agreement=item.agreement.hex()[:16], template=item.template,
            consumer=str(item.member), why=why,
        )  # fmt: skip
    return tuple(ended)


def said_of(template: Template) -> str:
    """Why an agreement was signed, for its history."""
    return f"by template {template.name}, which {template.approved_by} approved"


def _why_not(desk: PartyDesk, template: Template, terms: AgreementTerms) -> str | None:
    """Why a request of somebody in the group doesn't fit; None: it does."""
    # 3. By the key in force.
    consumer = terms.consumer
    pinned = pinned_key_id(desk.store, template.owner, consumer.member)
    if consumer.identity_key_id != (pinned or desk.directory.identity_key(consumer.member).key_id):
        return "it names an identity key that was replaced"
    # 4. Narrower, or as much.
    try:
        within = bound(template, terms, desk.time_ms())
        check_narrower(within, terms)
    except SimpulError as error:
        return error.message
    said = {item.id: item.description for item in within.purposes}
    if any(item.description not in {"", item.id, said[item.id]} for item in terms.purposes):
        return "it says a purpose in other words"
    # 5. Not twice.
    return _why_again(desk, template, terms)


def _why_again(desk: PartyDesk, template: Template, terms: AgreementTerms) -> str | None:
    """Why a request asks for what the consumer has had already; None: it doesn't."""
    store, now_ms = desk.store, desk.time_ms()
    # What is renewed is revoked at once.
    if terms.replaces is not None and terms.valid_from_ms > now_ms + CLOCKS_MS:
        return "it renews an agreement, and begins later"
    had = [
        (item, _terms(store, item))
        for item in list_answered(store, terms.consumer.member)
        if (item.owner, item.template) == (template.owner, template.name)
        and not _lost_with_group(store, item, template)
    ]
    renewed = {before.replaces for _, before in had}
    for item, before in had:
        if now_ms < item.at_ms + MS_PER_DAY:
            return "it was answered by this template less than a day ago"
        if now_ms >= before.valid_until_ms or item.agreement in renewed:
            continue
        if item.life is not Life.AGREED:
            return "it had an agreement by this template, which was revoked before its time"
        if item.agreement != terms.replaces:
            return "it has an agreement by this template, which this one doesn't renew"
    return None


def _lost_with_group(store: Store, item: TemplateAgreement, template: Template) -> bool:
    """Whether an agreement was revoked here because its consumer was no longer in the group."""
    return item.life is Life.REVOKED and any(
        step.step is Step.REVOKE
        and step.party is Party.PROVIDER
        and step.reason == _left_group(item.member, template)
        for step in list_steps(store, item.agreement)
    )


def _left(desk: PartyDesk, consumer: MemberId | None) -> list[tuple[TemplateAgreement, str]]:
    """The agreements in force that are to end, and why they do."""
    templates: Mapping[tuple[MemberId, str], Template] = {
        (template.owner, template.name): template for template in list_templates(desk.store)
    }
    local = local_groups(desk.store)
    answered = [
        item
        for item in list_answered(desk.store, consumer)
        if item.life is Life.AGREED and item.owner in desk.members
    ]
    by = {
        key: answered_members(local, desk.directory, templates[key])
        for key in {(item.owner, item.template) for item in answered}
    }
    # With both parties: nobody ends another's.
    renewed = {(item.owner, item.member, _terms(desk.store, item).replaces) for item in answered}
    left = []
    for item in answered:
        key = (item.owner, item.template)
        if item.member not in by[key]:
            left.append((item, _left_group(item.member, templates[key])))
        elif (item.owner, item.member, item.agreement) in renewed:
            left.append((item, "another agreement by a template renews it"))
    return left


def _terms(store: Store, item: TemplateAgreement) -> AgreementTerms:
    return parse_agreement(get_agreement(store, item.agreement).agreement)


def _left_group(member: MemberId, template: Template) -> str:
    """Why an agreement ends with its consumer's place in the group; found again by its words."""
    return f"{member} is no longer in the group {template.group}"
