"""What an agreement says: its terms as a value, read strictly and printed in one way.

An agreement never changes: it is hashed and signed as its bytes. Whatever this program doesn't
know is refused, because a term that isn't understood can't be kept: an unknown field, an
unspecified choice, an empty list.

It checks no signature and permits nothing: `agreement` does.

Source: docs/spec, "Agreements"; protos/simpul/v1/agreement.proto.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeVar

from security import strict
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES
from security.identifiers import MemberId, SubsystemId, check_method_name, check_service_name
from security.keys import KEY_ID_BYTES
from security.statement import MAX_TIME_MS
from simpul.v1 import agreement_pb2

FORMAT_VERSION: Final = 1
MAX_AGREEMENT_BYTES: Final = 256 * 1024
NONCE_BYTES: Final = 16
# Of what a party says of its own clock, against the clock of whoever judges it.
MAX_AHEAD_MS: Final = 60_000
MAX_DESCRIPTION_CHARS: Final = 1000
MINUTES_PER_DAY: Final = 24 * 60

ItemT = TypeVar("ItemT", str, SubsystemId)
ChoiceT = TypeVar("ChoiceT", bound=IntEnum)

_PURPOSE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_FIELD_PATH: Final = re.compile(rf"{_NAME}/(?:@[0-9a-z_.-]{{1,256}}|{_NAME}(?:\.{_NAME})*)")


class LegalBasis(IntEnum):
    """Why data may be used, by law 27/2022, article 20 (2); numbers are the wire's."""

    CONSENT = 1
    CONTRACT = 2
    LEGAL_DUTY = 3
    VITAL_INTEREST = 4
    PUBLIC_TASK = 5
    LEGITIMATE_INTEREST = 6


class PayloadKeeper(IntEnum):
    """Which nodes keep payloads; numbers are the wire's."""

    NONE = 1
    CONSUMER = 2
    PROVIDER = 3
    BOTH = 4


class CitizenVisibility(IntEnum):
    """Whether the citizens concerned may see calls; numbers are the wire's."""

    VISIBLE = 1
    HIDDEN = 2


@dataclass(frozen=True, slots=True)
class Party:
    """A member, and the id of the identity key by which the others know it."""

    member: MemberId
    identity_key_id: bytes


@dataclass(frozen=True, slots=True)
class ServiceTerm:
    """A service, and which of its methods."""

    service: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PurposeTerm:
    """A purpose, such as `layanan-wisata`, with its legal basis."""

    id: str
    legal_basis: LegalBasis
    description: str = ""


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """Which fields may pass: all (`paths` is None), or `List/islands.name` and so on.

    `reason` says why all may pass, where the contract marks fields as personal.
    """

    paths: tuple[str, ...] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RateTerm:
    """How often; 0 is no limit of that kind, and `burst` goes with `calls_per_second`."""

    calls_per_second: int
    burst: int
    calls_per_day: int


@dataclass(frozen=True, slots=True)
class HoursTerm:
    """From a minute after midnight until before another, Western Indonesia Time."""

    from_minute: int
    until_minute: int


@dataclass(frozen=True, slots=True)
class AgreementTerms:
    """All that an agreement says. None stands for what it leaves out."""

    # 16 random bytes.
    nonce: bytes
    provider: Party
    consumer: Party
    delegator: Party | None
    provider_subsystem: SubsystemId
    consumer_subsystems: tuple[SubsystemId, ...]
    services: tuple[ServiceTerm, ...]
    purposes: tuple[PurposeTerm, ...]
    request_fields: FieldTerm
    response_fields: FieldTerm
    rate: RateTerm | None
    valid_from_ms: int
    valid_until_ms: int
    payload_keeper: PayloadKeeper
    consumer_retention_days: int | None
    citizen_visibility: CitizenVisibility
    issued_at_ms: int
    # The hash of the agreement that this one takes the place of.
    replaces: bytes | None
    # Empty: at any hour.
    hours: tuple[HoursTerm, ...]
    # The hash of the delegation under which the consumer acts for the delegator.
    delegation: bytes | None = None

    @property
    def parties(self) -> tuple[Party, ...]:
        """Provider, consumer, and the delegator where there is one."""
        both = (self.provider, self.consumer)
        return both if self.delegator is None else (*both, self.delegator)

    @property
    def federation(self) -> str:
        """The federation of all parties."""
        return self.provider.member.federation


def parse_agreement(data: bytes) -> AgreementTerms:
    """Read an agreement, strictly.

    Raises:
        SimpulError: AGREEMENT_INVALID for whatever isn't understood whole.
    """
    message = strict.parse(
        agreement_pb2.Agreement, data, MAX_AGREEMENT_BYTES, code=Code.AGREEMENT_INVALID
    )
    if message.version != FORMAT_VERSION:
        raise invalid(f"its version is {message.version}, not {FORMAT_VERSION}")
    try:
        terms = _read(message)
    except SimpulError as error:
        if error.code is Code.AGREEMENT_INVALID:
            raise
        raise invalid(error.message) from None
    if message.federation != terms.federation:
        raise invalid("its federation isn't its provider's")
    _check_parties(terms)
    _check_times(terms)
    # One spelling of each agreement: what we wouldn't print so, somebody has altered or misread.
    if print_agreement(terms) != data:
        raise invalid("its fields aren't in order")
    return terms


def print_agreement(terms: AgreementTerms) -> bytes:
    """Return the bytes to hash and sign; `parse_agreement` gives the same terms back."""
    return agreement_pb2.Agreement(
        version=FORMAT_VERSION,
        federation=terms.federation,
        nonce=terms.nonce,
        provider=_party_message(terms.provider),
        consumer=_party_message(terms.consumer),
        delegator=None if terms.delegator is None else _party_message(terms.delegator),
        provider_subsystem=str(terms.provider_subsystem),
        consumer_subsystems=[str(item) for item in terms.consumer_subsystems],
        services=[
            agreement_pb2.ServiceTerm(service=item.service, methods=item.methods)
            for item in terms.services
        ],
        purposes=[
            agreement_pb2.PurposeTerm(
                id=item.id,
                legal_basis=agreement_pb2.LegalBasis.ValueType(item.legal_basis),
                description=item.description,
            )
            for item in terms.purposes
        ],
        request_fields=_field_message(terms.request_fields),
        response_fields=_field_message(terms.response_fields),
        rate=None if terms.rate is None else _rate_message(terms.rate),
        valid_from_ms=terms.valid_from_ms,
        valid_until_ms=terms.valid_until_ms,
        payload_keeper=agreement_pb2.PayloadKeeper.ValueType(terms.payload_keeper),
        consumer_retention_days=terms.consumer_retention_days,
        citizen_visibility=agreement_pb2.CitizenVisibility.ValueType(terms.citizen_visibility),
        issued_at_ms=terms.issued_at_ms,
        replaces=b"" if terms.replaces is None else terms.replaces,
        hours=[
            agreement_pb2.HoursTerm(from_minute=item.from_minute, until_minute=item.until_minute)
            for item in terms.hours
        ],
        delegation=b"" if terms.delegation is None else terms.delegation,
    ).SerializeToString(deterministic=True)


def check_purpose_id(text: str) -> None:
    """Check that `text` may name a purpose (`layanan-wisata`); raises AGREEMENT_INVALID."""
    if _PURPOSE.fullmatch(text) is None:
        raise invalid(f"{text[:80]!a} is no purpose like layanan-wisata, in lower case")


def invalid(what: str) -> SimpulError:
    """Return the error of an agreement that breaks its format."""
    return SimpulError(
        Code.AGREEMENT_INVALID,
        f"an agreement is refused: {what}; make it again, and have both sides sign it",
    )


def _read(message: agreement_pb2.Agreement) -> AgreementTerms:
    return AgreementTerms(
        nonce=_sized("nonce", message.nonce, NONCE_BYTES),
        provider=_read_party(message.provider),
        consumer=_read_party(message.consumer),
        delegator=_read_party(message.delegator) if message.HasField("delegator") else None,
        provider_subsystem=SubsystemId.parse(message.provider_subsystem),
        consumer_subsystems=_several(
            "consumer subsystem",
            tuple(SubsystemId.parse(item) for item in message.consumer_subsystems),
        ),
        services=_read_services(message),
        purposes=_read_purposes(message),
        request_fields=_read_fields(message, message.request_fields),
        response_fields=_read_fields(message, message.response_fields),
        rate=_read_rate(message.rate) if message.HasField("rate") else None,
        valid_from_ms=message.valid_from_ms,
        valid_until_ms=message.valid_until_ms,
        payload_keeper=_choice("payload keeper", PayloadKeeper, message.payload_keeper),
        consumer_retention_days=(
            message.consumer_retention_days if message.HasField("consumer_retention_days") else None
        ),
        citizen_visibility=_choice(
            "citizen visibility", CitizenVisibility, message.citizen_visibility
        ),
        issued_at_ms=message.issued_at_ms,
        replaces=(
            None
            if len(message.replaces) == 0
            else _sized("hash of the replaced one", message.replaces, HASH_BYTES)
        ),
        hours=tuple(_read_hours(item) for item in message.hours),
        delegation=(
            None
            if len(message.delegation) == 0
            else _sized("delegation's hash", message.delegation, HASH_BYTES)
        ),
    )


def _read_party(message: agreement_pb2.Party) -> Party:
    return Party(
        MemberId.parse(message.member),
        _sized("identity key id", message.identity_key_id, KEY_ID_BYTES),
    )


def _read_services(message: agreement_pb2.Agreement) -> tuple[ServiceTerm, ...]:
    services = tuple(
        ServiceTerm(item.service, _several("method", tuple(item.methods)))
        for item in message.services
    )
    _several("service", tuple(item.service for item in services))
    for item in services:
        check_service_name(item.service)
        for method in item.methods:
            check_method_name(method)
    return services


def _read_purposes(message: agreement_pb2.Agreement) -> tuple[PurposeTerm, ...]:
    _several("purpose", tuple(item.id for item in message.purposes))
    for item in message.purposes:
        check_purpose_id(item.id)
        if len(item.description) > MAX_DESCRIPTION_CHARS:
            raise invalid(f"a description has over {MAX_DESCRIPTION_CHARS} letters")
    return tuple(
        PurposeTerm(item.id, _choice("legal basis", LegalBasis, item.legal_basis), item.description)
        for item in message.purposes
    )


def _read_fields(agreement: agreement_pb2.Agreement, message: agreement_pb2.FieldTerm) -> FieldTerm:
    if message.all:
        if len(message.paths) != 0:
            raise invalid("it permits all fields, and also lists some")
        if len(message.reason) > MAX_DESCRIPTION_CHARS:
            raise invalid(f"a reason has over {MAX_DESCRIPTION_CHARS} letters")
        return FieldTerm(None, message.reason)
    if message.reason != "":
        raise invalid("it gives a reason for all fields, and lists some")
    paths = _several("field path", tuple(message.paths))
    methods = {method for item in agreement.services for method in item.methods}
    for path in paths:
        if _FIELD_PATH.fullmatch(path) is None or path.partition("/")[0] not in methods:
            raise invalid(f"{path[:80]!a} is no field path of its methods, like List/islands.name")
    return FieldTerm(paths)


def _read_rate(message: agreement_pb2.RateTerm) -> RateTerm:
    if (message.calls_per_second == 0) != (message.burst == 0):
        raise invalid("calls per second and burst go together")
    if message.calls_per_second == 0 and message.calls_per_day == 0:
        raise invalid("its rate limits nothing")
    return RateTerm(message.calls_per_second, message.burst, message.calls_per_day)


def _read_hours(message: agreement_pb2.HoursTerm) -> HoursTerm:
    if not message.HasField("from_minute"):
        raise invalid("hours don't say from when")
    if not message.from_minute < message.until_minute <= MINUTES_PER_DAY:
        raise invalid("hours aren't in order within one day")
    return HoursTerm(message.from_minute, message.until_minute)


def _check_parties(terms: AgreementTerms) -> None:
    parties = [terms.provider, terms.consumer]
    if terms.delegator is not None:
        parties.append(terms.delegator)
    if {party.member.federation for party in parties} != {terms.federation}:
        raise invalid("its parties are of different federations")
    if terms.provider_subsystem.member != terms.provider.member:
        raise invalid("the provider's subsystem isn't the provider's")
    if any(item.member != terms.consumer.member for item in terms.consumer_subsystems):
        raise invalid("a consumer's subsystem isn't the consumer's")
    if (terms.delegator is None) != (terms.delegation is None):
        raise invalid("a delegator and a delegation go together")
    if terms.delegator is not None and terms.delegator.member in {
        terms.provider.member,
        terms.consumer.member,
    }:
        raise invalid("its delegator is the provider or the consumer itself")


def _check_times(terms: AgreementTerms) -> None:
    if not 0 < terms.valid_from_ms < terms.valid_until_ms <= MAX_TIME_MS:
        raise invalid("its dates aren't in order")
    if not 0 < terms.issued_at_ms < terms.valid_until_ms:
        raise invalid("it doesn't say when it was issued, or was issued after its end")


def _sized(what: str, value: bytes, count: int) -> bytes:
    if len(value) != count:
        raise invalid(f"its {what} has {len(value)} bytes, not {count}")
    return value


def _several(what: str, items: tuple[ItemT, ...]) -> tuple[ItemT, ...]:
    if len(items) == 0 or len(set(items)) != len(items):
        raise invalid(f"it names no {what}, or one twice")
    return items


def _choice(what: str, cls: type[ChoiceT], value: int) -> ChoiceT:
    try:
        return cls(value)
    except ValueError:
        raise invalid(f"its {what} is {value}, which is none") from None


def _party_message(party: Party) -> agreement_pb2.Party:
    return agreement_pb2.Party(member=str(party.member), identity_key_id=party.identity_key_id)


def _field_message(term: FieldTerm) -> agreement_pb2.FieldTerm:
    if term.paths is None:
        return agreement_pb2.FieldTerm(all=True, reason=term.reason)
    return agreement_pb2.FieldTerm(paths=term.paths)


def _rate_message(term: RateTerm) -> agreement_pb2.RateTerm:
    return agreement_pb2.RateTerm(
        calls_per_second=term.calls_per_second,
        burst=term.burst,
        calls_per_day=term.calls_per_day,
    )
