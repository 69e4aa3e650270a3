"""What operators ask about agreements: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

import asyncio
from typing import Final

from google.protobuf.message import Message
from grpc import aio

from node.agreements.show import Shown
from node.agreements.words import draft, narrowing
from node.caller import CALLER
from node.operations.access import Access, Done
from node.operations.desk import Desk
from node.operations.usage import Usage, usage
from node.store.agreement_lives import list_steps
from node.store.agreements import get_agreement
from security.agreement import AgreementTerms, parse_agreement
from security.agreement_compare import Change, compare, describe
from security.agreement_life import Party
from security.errors import SimpulError
from simpul.node.v1 import admin_pb2, admin_pb2_grpc

Context = aio.ServicerContext[Message, Message]

DEFAULT_USAGE_DAYS: Final = 30


class AccessAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about agreements."""

    _desk: Desk
    _access: Access

    async def AllowAccess(
        self, request: admin_pb2.AllowAccessRequest, context: Context
    ) -> admin_pb2.AllowAccessResponse:
        """Offer a consumer an agreement."""
        del context
        done = await self._access.allow(draft(request.terms), request.note)
        hints = await asyncio.to_thread(self._access.hints, done.agreement)
        return admin_pb2.AllowAccessResponse(
            agreement=_agreement(done), untold=_untold(done), hints=hints
        )

    async def RequestAccess(
        self, request: admin_pb2.RequestAccessRequest, context: Context
    ) -> admin_pb2.RequestAccessResponse:
        """Ask a provider for an agreement."""
        del context
        done = await self._access.request(draft(request.terms), request.note)
        hints = await asyncio.to_thread(self._access.hints, done.agreement)
        return admin_pb2.RequestAccessResponse(
            agreement=_agreement(done), untold=_untold(done), hints=hints
        )

    async def DecideAgreement(
        self, request: admin_pb2.DecideAgreementRequest, context: Context
    ) -> admin_pb2.DecideAgreementResponse:
        """Accept, counter, decline, withdraw or revoke one."""
        del context
        done = await self._access.decide(
            request.agreement, request.decision, request.reason, narrowing(request.terms)
        )
        return admin_pb2.DecideAgreementResponse(agreement=_agreement(done), untold=_untold(done))

    async def ListAgreements(
        self, request: admin_pb2.ListAgreementsRequest, context: Context
    ) -> admin_pb2.ListAgreementsResponse:
        """All agreements, or those that wait for an operator here."""
        del context
        found = list(filter(_seen, await asyncio.to_thread(self._access.shown)))
        if not request.waiting:
            return admin_pb2.ListAgreementsResponse(agreements=map(_shown, found))
        return admin_pb2.ListAgreementsResponse(
            agreements=[self._with_texts(each) for each in found if each.waits]
        )

    async def ShowAgreement(
        self, request: admin_pb2.ShowAgreementRequest, context: Context
    ) -> admin_pb2.ShowAgreementResponse:
        """All that one says, and how it came to be."""
        del context
        return await asyncio.to_thread(self._show, request.agreement)

    async def DraftAgreement(
        self, request: admin_pb2.DraftAgreementRequest, context: Context
    ) -> admin_pb2.DraftAgreementResponse:
        """A new agreement, to be signed elsewhere."""
        del context
        party = Party.PROVIDER if request.allow else Party.CONSUMER
        document = await self._access.draft(draft(request.terms), party)
        return admin_pb2.DraftAgreementResponse(document=document)

    async def ExportAgreement(
        self, request: admin_pb2.ExportAgreementRequest, context: Context
    ) -> admin_pb2.ExportAgreementResponse:
        """A proposal, to be signed elsewhere."""
        del context
        document = await self._access.export(request.agreement)
        return admin_pb2.ExportAgreementResponse(document=document)

    async def ImportAgreement(
        self, request: admin_pb2.ImportAgreementRequest, context: Context
    ) -> admin_pb2.ImportAgreementResponse:
        """Take what was signed elsewhere."""
        del context
        done = await self._access.take_in(request.document, request.note)
        return admin_pb2.ImportAgreementResponse(agreement=_agreement(done), untold=_untold(done))

    async def ListUsage(
        self, request: admin_pb2.ListUsageRequest, context: Context
    ) -> admin_pb2.ListUsageResponse:
        """How agreements are used here."""
        del context
        if request.agreement:
            asked = [await asyncio.to_thread(self._access.one, request.agreement)]
        else:
            asked = await asyncio.to_thread(self._access.shown)
        asked = list(filter(_seen, asked))
        if request.on_behalf_of:
            asked = [each for each in asked if _on_behalf_of(each.terms) == request.on_behalf_of]
        found = await usage(self._desk, asked, request.days or DEFAULT_USAGE_DAYS)
        return admin_pb2.ListUsageResponse(usage=[_usage(each) for each in found])

    async def SettleAgreements(
        self, request: admin_pb2.SettleAgreementsRequest, context: Context
    ) -> admin_pb2.SettleAgreementsResponse:
        """Ask siblings and partners now."""
        del request, context
        faults, unsettled = await self._access.settle()
        return admin_pb2.SettleAgreementsResponse(
            faults=[_fault(error) for error in faults], unsettled=sorted(map(str, unsettled))
        )

    def _with_texts(self, shown: Shown) -> admin_pb2.Agreement:
        made = _shown(shown)
        for purpose, says in self._access.registered(shown):
            made.registered.add(term=purpose, says=says)
        return made

    def _show(self, agreement: str) -> admin_pb2.ShowAgreementResponse:
        shown = self._access.one(agreement)
        terms, store = shown.terms, self._desk.store
        changes: tuple[Change, ...] = ()
        if shown.standing.counters is not None:
            asked = get_agreement(store, shown.standing.counters)
            changes = compare(parse_agreement(asked.agreement), terms)
        return admin_pb2.ShowAgreementResponse(
            agreement=self._with_texts(shown),
            terms=[admin_pb2.TermInWords(term=name, says=says) for name, says in describe(terms)],
            steps=[
                admin_pb2.StepInWords(
                    step=step.step,
                    party=step.party,
                    at_ms=step.at_ms,
                    reason=step.reason,
                    told=step.told_at_ms is not None,
                    own=step.own,
                )
                for step in list_steps(store, shown.stored.hash)
            ],
            changes=[
                admin_pb2.ChangeInWords(
                    term=change.term,
                    before=change.before,
                    after=change.after,
                    direction=change.direction,
                )
                for change in changes
            ],
            why=shown.why,
            provider_identity_key_id=terms.provider.identity_key_id,
            consumer_identity_key_id=terms.consumer.identity_key_id,
            delegator_identity_key_id=b""
            if terms.delegator is None
            else terms.delegator.identity_key_id,
            hints=self._access.hints(shown),
        )


def _seen(shown: Shown) -> bool:
    """Whether who asks may look at an agreement."""
    terms = shown.terms
    return CALLER.get().sees_any((terms.provider.member, terms.consumer.member))


def _agreement(done: Done) -> admin_pb2.Agreement:
    return _shown(done.agreement)


def _shown(shown: Shown) -> admin_pb2.Agreement:
    terms, counters = shown.terms, shown.standing.counters
    return admin_pb2.Agreement(
        agreement=shown.stored.hash.hex(),
        provider=str(terms.provider_subsystem),
        consumers=[str(consumer) for consumer in terms.consumer_subsystems],
        service=", ".join(item.service for item in terms.services),
        methods=[method for item in terms.services for method in item.methods],
        purposes=[purpose.id for purpose in terms.purposes],
        valid_from_ms=terms.valid_from_ms,
        valid_until_ms=terms.valid_until_ms,
        state=shown.state,
        side=shown.side,
        note=shown.standing.note,
        counters="" if counters is None else counters.hex(),
        waits=shown.waits,
        keep=terms.payload_keeper.name,
        on_behalf_of=_on_behalf_of(terms),
        delegation="" if terms.delegation is None else terms.delegation.hex(),
    )


def _usage(item: Usage) -> admin_pb2.AgreementUsage:
    used, rate = item.used, item.shown.terms.rate
    return admin_pb2.AgreementUsage(
        agreement=item.shown.stored.hash.hex(),
        side=item.role,
        state=item.shown.state,
        calls=used.calls,
        refused=used.refused,
        request_bytes=used.request_bytes,
        response_bytes=used.response_bytes,
        last_call_ms=used.last_call_ms or 0,
        given_today=item.given_today,
        calls_per_day=0 if rate is None else rate.calls_per_day,
        unused=item.unused,
        on_behalf_of=_on_behalf_of(item.shown.terms),
    )


def _on_behalf_of(terms: AgreementTerms) -> str:
    return "" if terms.delegator is None else str(terms.delegator.member)


def _untold(done: Done) -> admin_pb2.Untold | None:
    return None if done.untold is None else _fault(done.untold)


def _fault(error: SimpulError) -> admin_pb2.Untold:
    return admin_pb2.Untold(code=error.code, message=error.message)
