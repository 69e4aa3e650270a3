"""Evidence, steps 16, 17 and 19 to 21: under which agreement, and what was said.

    16 agreement      17 permission       (18 offer: `evidence_offer`)
    19 registry's log 20 payloads         21 private blocks

An agreement names each party's identity key by its id: the key that the other party has pinned. A
directory in the file lists it as the member's, or the member's successions lead from it to the one
that is listed; and the call's seals rest on it, or on a successor. So a registry that lists a false
key proves nothing.

Source: docs/spec, "Evidence: steps", "Agreements".
"""

from collections.abc import Iterator

from security.agreement import agreement_hash, permit
from security.agreement_terms import AgreementTerms, Party, parse_agreement
from security.commitment import SALT_BYTES, check_payload, check_private
from security.consent import check_named
from security.delegation import check_delegation
from security.directory_records import MemberRecordView
from security.errors import SimpulError
from security.evidence_case import Case
from security.evidence_format import ShownAgreement
from security.evidence_report import Outcome, not_present, not_proven, proven, refused
from security.hashing import AGREEMENT_SIGNATURE
from security.keys import PublicKey
from security.kinds import Open
from security.limits import Limits
from security.private import parse_private
from security.succession import follow_successions


def agreement(case: Case) -> Outcome:
    """16. The agreement that the open names, signed by its parties' identity keys.

    Where the consumer acted for another: that one signed the delegation, and it covers the
    agreement.
    """
    shown, opened = case.evidence.agreement, case.opened
    _check_keys(case, shown)
    named = None if opened is None else opened.agreement
    if shown is None:
        return not_present(
            "nodes call each other's own services without one"
            if named is None
            else f"agreement {named.hex()[:16]} isn't in the file"
        )
    if named is None or agreement_hash(shown.agreement) != named:
        raise refused("the agreement in it isn't the one that the open names")
    terms = parse_agreement(shown.agreement)
    if terms.federation != case.evidence.federation:
        raise refused("the agreement is of another federation")
    for party, signature in (
        (terms.provider, shown.provider_signature),
        (terms.consumer, shown.consumer_signature),
    ):
        key = _identity_key(case, party)
        if not signature:
            raise refused(f"the agreement isn't signed by {party.member}")
        key.verify(AGREEMENT_SIGNATURE, shown.agreement, signature)
        _check_seals(case, party, key)
    delegator = None if terms.delegator is None else _identity_key(case, terms.delegator)
    check_delegation(terms, shown.delegation, shown.delegator_signature, delegator)
    case.terms = terms
    return proven(
        f"agreement {named.hex()[:16]}, signed by {_by(terms.provider)} and {_by(terms.consumer)}",
        *_delegated(terms),
    )


def _by(party: Party) -> str:
    return f"{party.member} (key {party.identity_key_id.hex()[:16]})"


def _delegated(terms: AgreementTerms) -> Iterator[str]:
    if terms.delegator is not None and terms.delegation is not None:
        yield (
            f"on behalf of {terms.delegator.member}, by delegation {terms.delegation.hex()[:16]}, "
            f"signed by {_by(terms.delegator)}"
        )


def permission(case: Case) -> Outcome:
    """17. The agreement permits the call, by what the open says and when it says so."""
    terms, opened = case.terms, case.opened
    if terms is None or opened is None:
        return not_present()
    if opened.purpose is None:
        return not_proven("the open names no purpose")
    sealed_at_ms = case.requests[0][0].header.sealed_at_ms
    try:
        purpose = permit(
            terms,
            consumer=opened.consumer,
            provider=opened.service.subsystem,
            service=opened.service.service,
            method=opened.method,
            purpose=opened.purpose,
            on_behalf_of=opened.on_behalf_of,
            now_ms=sealed_at_ms,
        )
        check_named(terms, purpose, opened.consent)
    except SimpulError as error:
        return not_proven(f"{error.code}: {error.message}")
    basis = next(item.legal_basis for item in terms.purposes if item.id == purpose)
    return proven(
        f"purpose {purpose}, legal basis {basis.name.lower().replace('_', ' ')}",
        *_consented(opened),
        *_registered(case, terms, purpose),
    )


def _consented(opened: Open) -> tuple[str, ...]:
    """What is claimed, and sealed by both: whose consent it is, the provider's register knows."""
    return () if opened.consent is None else (f"by the consent {opened.consent}",)


def _registered(case: Case, terms: AgreementTerms, purpose: str) -> tuple[str, ...]:
    """What the consumer's register said of the purpose, in the directory that the open names."""
    named = case.requests[0][0].named
    record = None if named is None else named.members.get(terms.consumer.member)
    versions = () if record is None else record.activities.get(purpose, ())
    if not versions:
        return ()
    newest = versions[-1]
    ended = ", retired" if newest.retired else ""
    says = (
        f"registered as {newest.title!r}, version {newest.version}{ended}: {newest.purpose!r}, "
        f"kept {newest.retention!r}, officer {newest.officer!r}"
    )
    return (says,)


def registry_log(_case: Case) -> Outcome:
    """19. The directories stand in the registry's public log: a later version of the format."""
    return not_present("this version of the format has no place for the registry's log")


def payloads(case: Case) -> Outcome:
    """20. The messages are those that the entries commit to, where they were kept."""
    return _contents(case, private=False)


def private_blocks(case: Case) -> Outcome:
    """21. The private blocks (users, metadata, status texts) likewise."""
    return _contents(case, private=True)


def _check_keys(case: Case, shown: ShownAgreement | None) -> None:
    """An identity key is in the file only because the agreement names it."""
    named: set[bytes] = set()
    if shown is not None:
        terms = parse_agreement(shown.agreement)
        named = {party.identity_key_id for party in terms.parties}
    if not {key.key_id for key in case.evidence.identity_keys} <= named:
        raise refused("it holds an identity key that the agreement doesn't name")


def _identity_key(case: Case, party: Party) -> PublicKey:
    records = [
        found
        for item in case.directories
        if (found := item.members.get(party.member)) is not None and found.statement is not None
    ]
    for record in records:
        listed = _listed(record)
        if listed.key_id == party.identity_key_id:
            return listed
    for key in case.evidence.identity_keys:
        if key.key_id == party.identity_key_id and records:
            return _led(records[-1], key)
    raise refused(
        f"nothing in the file shows that {party.member} had the identity key that the agreement "
        f"names, {party.identity_key_id.hex()[:16]}"
    )


def _check_seals(case: Case, party: Party, key: PublicKey) -> None:
    """The seals rest on that identity key too: against a registry that lists a false one."""
    for parcel in case.call_parcels:
        sealed = parcel.sealed
        if sealed is None or parcel.header.member != party.member or sealed.identity == key:
            continue
        follow_successions(
            sealed.record.successions, member=party.member, pinned=key, current=sealed.identity
        )


def _led(record: MemberRecordView, key: PublicKey) -> PublicKey:
    follow_successions(record.successions, member=record.id, pinned=key, current=_listed(record))
    return key


def _listed(record: MemberRecordView) -> PublicKey:
    if record.statement is None:
        raise refused(f"{record.id} has no statement")
    return record.statement.identity_key


def _contents(case: Case, *, private: bool) -> Outcome:
    committed = shown = salted = 0
    for parcel in case.call_parcels:
        for item in parcel.entries:
            commitment = item.parsed.private if private else item.parsed.payload
            data = item.shown.private if private else item.shown.payload
            salt = item.shown.private_salt if private else item.shown.payload_salt
            if commitment is None:
                if data is not None or salt:
                    raise refused(f"{parcel.title}: something stands beside an entry without it")
                continue
            committed += 1
            salted += bool(salt)
            if salt and len(salt) != SALT_BYTES:
                raise refused(f"{parcel.title}: a salt has {len(salt)} bytes")
            if data is not None:
                if private:
                    check_private(commitment, salt, data)
                    parse_private(data, item.parsed.kind.kind, _limits(case))
                else:
                    check_payload(commitment, salt, data)
                shown += 1
    if committed == 0:
        return proven("there were none")
    kept = f"{salted} salts are here: whoever has the bytes can prove them" if salted else ""
    findings = tuple(filter(None, (f"{shown} of {committed} are here", kept)))
    if shown == committed:
        return proven(f"{shown}, each as its entry commits to it")
    return not_proven(*findings) if shown else not_present("not kept, or left out", *findings[1:])


def _limits(case: Case) -> Limits:
    """The federation's, the widest that the directories here had."""
    allowed = (item.policy.limits.max_metadata_bytes for item in case.directories)
    return Limits(max_metadata_bytes=max(allowed))
