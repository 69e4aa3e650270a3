"""Templates: requests that are answered because an operator approved them beforehand, for a group.

An agreement that comes of a template is one like any other, signed by the provider's identity key;
the template only stands in for the operator who would have said yes. The rules, by which a request
fits:

1. The template is in force: not ended, not expired, its provider is the request's.
2. The consumer is in the template's group now; in a federation-wide one it was at the approval too,
   unless the template follows the group.
3. The consumer's identity key is the one that was pinned as it was put in, or at the approval. That
   needs no look here: a proposal by another key is refused before. Only of a group that is followed
   a member's key may be new; a registry that was captured could show a false one then.
4. The request permits nothing that the template doesn't, by the terms' own comparison; nobody else
   stands behind it; its purposes are said in the template's words, or in none of their own.
5. The consumer has no other agreement by this template, but one that this one renews: a rate would
   otherwise be had as often as it is asked for.

What doesn't fit waits for an operator, as if there were no template. Whoever leaves the group loses
the agreements that came of it: they are revoked.

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
from node.store.agreements import get_agreement
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
from security.agreement_life import Life
from security.agreement_terms import CitizenVisibility, PayloadKeeper
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from simpul.node.v1 import admin_pb2

_log = structlog.get_logger(__name__)

# How far apart two nodes' clocks may be, and a request on its way.
CLOCKS_MS: Final = 10 * 60 * 1000


def fitting(desk: PartyDesk, terms: AgreementTerms) -> Template | None:
    """The first template by which a consumer's request may be answered at once, if there is one."""
    now_ms, store = desk.time_ms(), desk.store
    for template in list_templates(store):
        # 1. In force.
        if not template.answers(now_ms) or template.owner != terms.provider.member:
            continue
        # 2. In the group.
        if terms.consumer.member not in answered_members(store, desk.directory, template):
            continue
        why = _why_not(desk, template, terms)
        if why is None:
            return template
        _log.info(
            "request doesn't fit template", template=template.name,
            consumer=str(terms.consumer.member), why=why,
        )  # fmt: skip
    return None


def answered_members(
    store: Store, directory: DirectoryView, template: Template
) -> frozenset[MemberId]:
    """Whose requests a template answers, as the group is now."""
    if not template.federation_wide:
        groups = {(group.owner, group.name): group for group in list_groups(store)}
        group = groups.get((template.owner, template.group))
        return frozenset() if group is None else group.ids
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


async def end_left(desk: PartyDesk) -> tuple[bytes, ...]:
    """Revoke the agreements by templates whose consumers have left the group; returns which.

    One that can't be revoked now is logged, and tried again the next time.
    """
    ended = []
    for item, why in await asyncio.to_thread(_left, desk):
        try:
            await revoke(desk, item.agreement, why)
        except SimpulError as error:
            if error.code is not Code.CONFLICT:
                _log.error(
                    "agreement of a member that left its group not revoked", code=error.code,
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
    # 4. Narrower, or as much.
    now_ms = desk.time_ms()
    try:
        within = bound(template, terms, now_ms)
        check_narrower(within, terms)
    except SimpulError as error:
        return error.message
    said = {item.id: item.description for item in within.purposes}
    if any(item.description not in {"", item.id, said[item.id]} for item in terms.purposes):
        return "it says a purpose in other words"
    # 5. Not twice.
    others = [item for item in list_answered(desk.store) if _is_other(desk, item, template, terms)]
    if any(item.agreement != terms.replaces for item in others):
        return "it has an agreement by this template, which this one doesn't renew"
    return None


def _is_other(
    desk: PartyDesk, item: TemplateAgreement, template: Template, terms: AgreementTerms
) -> bool:
    """Whether an agreement by the same template, for the same consumer, is still in force."""
    if (item.owner, item.template) != (template.owner, template.name):
        return False
    if item.member != terms.consumer.member or item.life is not Life.AGREED:
        return False
    before = parse_agreement(get_agreement(desk.store, item.agreement).agreement)
    return desk.time_ms() < before.valid_until_ms


def _left(desk: PartyDesk) -> list[tuple[TemplateAgreement, str]]:
    """The agreements in force of members that are no longer in the group, and why they end."""
    templates: Mapping[tuple[MemberId, str], Template] = {
        (template.owner, template.name): template for template in list_templates(desk.store)
    }
    left = []
    for item in list_answered(desk.store):
        if item.life is not Life.AGREED or item.owner not in desk.members:
            continue
        template = templates[item.owner, item.template]
        if item.member not in answered_members(desk.store, desk.directory, template):
            left.append((item, f"{item.member} is no longer in the group {template.group}"))
    return left
