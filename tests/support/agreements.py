"""An agreement between the small federation's two members, as terms to change one thing of."""

from security.agreement import (
    AgreementTerms,
    CitizenVisibility,
    FieldTerm,
    LegalBasis,
    Party,
    PayloadKeeper,
    PurposeTerm,
    ServiceTerm,
    make_agreement,
    sign_agreement,
)
from security.keys import PrivateKey
from simpul.v1 import agreement_pb2
from tests.conformance import fixed

PROVIDER_IDENTITY = fixed.key(f"{fixed.REGENCY} identity")
CONSUMER_IDENTITY = fixed.key(f"{fixed.MINISTRY} identity")

TERMS = AgreementTerms(
    nonce=fixed.fixed_bytes("agreement nonce", 16),
    provider=Party(fixed.REGENCY, PROVIDER_IDENTITY.public.key_id),
    consumer=Party(fixed.MINISTRY, CONSUMER_IDENTITY.public.key_id),
    delegator=None,
    provider_subsystem=fixed.TOURISM,
    consumer_subsystems=(fixed.SUPER_APP,),
    services=(ServiceTerm(fixed.SERVICE, ("Get", "List")),),
    purposes=(PurposeTerm("layanan-wisata", LegalBasis.PUBLIC_TASK, "Layanan wisata"),),
    request_fields=FieldTerm(None),
    response_fields=FieldTerm(None),
    rate=None,
    valid_from_ms=fixed.NOW_MS,
    valid_until_ms=fixed.NOW_MS + 365 * fixed.DAY_MS,
    payload_keeper=PayloadKeeper.NONE,
    consumer_retention_days=None,
    citizen_visibility=CitizenVisibility.VISIBLE,
    issued_at_ms=fixed.NOW_MS,
    replaces=None,
    hours=(),
)


def signed(
    terms: AgreementTerms = TERMS,
    provider: PrivateKey = PROVIDER_IDENTITY,
    consumer: PrivateKey | None = CONSUMER_IDENTITY,
) -> agreement_pb2.SignedAgreement:
    """An agreement signed by both, or by the provider alone."""
    data = make_agreement(terms)
    return agreement_pb2.SignedAgreement(
        agreement=data,
        provider_signature=sign_agreement(data, provider),
        consumer_signature=b"" if consumer is None else sign_agreement(data, consumer),
    )
