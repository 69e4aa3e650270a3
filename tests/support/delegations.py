"""A third member, in whose name the ministry acts: its delegation, and an agreement by that."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from security.agreement import Party, make_agreement, sign_agreement
from security.delegation import (
    DelegatedService,
    DelegationTerms,
    delegation_hash,
    make_delegation,
    sign_delegation,
)
from security.identifiers import MemberId, NodeId
from security.keys import PrivateKey
from simpul.v1 import agreement_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.agreements import CONSUMER_IDENTITY, PROVIDER_IDENTITY, TERMS

DELEGATOR: Final = MemberId.parse("ID/DAERAH/53.16")
DELEGATOR_NODE: Final = NodeId.parse("ID/~ende-1")
DELEGATOR_KEY: Final = fixed.key(f"{DELEGATOR} identity")
BOUNDS: Final = DelegationTerms(
    nonce=fixed.fixed_bytes("delegation nonce", 16),
    delegator=Party(DELEGATOR, DELEGATOR_KEY.public.key_id),
    delegate=TERMS.consumer,
    services=(DelegatedService(fixed.TOURISM, fixed.SERVICE, ("Get", "List")),),
    purposes=("layanan-wisata",),
    valid_from_ms=TERMS.valid_from_ms,
    valid_until_ms=TERMS.valid_until_ms,
    issued_at_ms=fixed.NOW_MS,
)


def record(
    change: Callable[[directory_pb2.MemberRecord], object] = bool,
) -> directory_pb2.MemberRecord:
    """The third member's, with one thing changed."""
    made = directories.member_record(DELEGATOR, DELEGATOR_NODE)
    change(made)
    return made


def delegated(
    bounds: DelegationTerms = BOUNDS, key: PrivateKey = DELEGATOR_KEY, **terms: object
) -> agreement_pb2.SignedAgreement:
    """An agreement of the ministry's on behalf of the third member, with all three signatures."""
    delegation = make_delegation(bounds)
    rests_on = {"delegator": BOUNDS.delegator, "delegation": delegation_hash(delegation)}
    data = make_agreement(replace(TERMS, **{**rests_on, **terms}))  # type: ignore[arg-type]
    return agreement_pb2.SignedAgreement(
        agreement=data,
        provider_signature=sign_agreement(data, PROVIDER_IDENTITY),
        consumer_signature=sign_agreement(data, CONSUMER_IDENTITY),
        delegation=delegation,
        delegator_signature=sign_delegation(delegation, key),
    )
