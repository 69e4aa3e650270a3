"""What nodes send, strictly parsed: enrolments and changes. Pure.

A parsed request is well-formed and nothing more: whether it is granted is for `rules`. Source:
protos/simpul/v1/registry.proto.
"""

from dataclasses import dataclass
from typing import Final

from security import strict
from security.activity import ActivityView, read_activity
from security.contract import MAX_DESCRIPTOR_SET_BYTES
from security.contract_card import ContractTermsView, check_package, read_terms
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from security.keys import Algorithm, PublicKey
from security.seal_request import parse_seal_key_request
from security.statement import MAX_STATEMENT_BYTES, parse_statement
from simpul.v1 import keys_pb2, registry_pb2, statement_pb2

FORMAT_VERSION: Final = 1
SECRET_BYTES: Final = 32
MAX_CERTIFICATE_REQUEST_BYTES: Final = 16 * 1024
MAX_ENROLMENT_BYTES: Final = MAX_STATEMENT_BYTES + MAX_CERTIFICATE_REQUEST_BYTES + 16 * 1024
MAX_COMMENT_CHARS: Final = 4000
MAX_QUERY_BYTES: Final = 4096
MAX_CHANGE_BYTES: Final = MAX_DESCRIPTOR_SET_BYTES + 16 * 1024


# How a node's seal key comes into a statement: by the member's first, which the node made, or by
# the next one, which it asks for.
KeyListing = statement_pb2.SignedStatement | statement_pb2.SignedSealKeyRequest


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A node's request to join."""

    secret: bytes
    federation: str
    member: MemberId
    node: NodeId
    node_key: PublicKey
    certificate_request: bytes
    link_address: str
    slots: int
    listing: "KeyListing"


@dataclass(frozen=True, slots=True)
class PublishService:
    """A service to list, with its contract's descriptor set."""

    service: ServiceId
    descriptor_set: bytes


@dataclass(frozen=True, slots=True)
class WithdrawService:
    """A service to take from the list."""

    service: ServiceId


@dataclass(frozen=True, slots=True)
class RenewCertificate:
    """A DER PKCS #10 request for a new TLS certificate."""

    certificate_request: bytes


@dataclass(frozen=True, slots=True)
class SetLinkAddress:
    """Where the node takes links from now on."""

    link_address: str


@dataclass(frozen=True, slots=True)
class ReplaceStatement:
    """A member's next statement."""

    member: MemberId
    statement: statement_pb2.SignedStatement


@dataclass(frozen=True, slots=True)
class HostMember:
    """A further member whose calls the node seals, with the token that allows it."""

    secret: bytes
    member: MemberId
    listing: KeyListing


@dataclass(frozen=True, slots=True)
class ReplaceNodeKey:
    """A new node key; `proof` is its signature over the id of the one before."""

    node_key: PublicKey
    proof: bytes


@dataclass(frozen=True, slots=True)
class WithdrawChange:
    """A change of the same node that waits, by its number."""

    number: int


@dataclass(frozen=True, slots=True)
class RequestSealKey:
    """A new seal key of a node that holds no identity key of the member."""

    member: MemberId
    request: statement_pb2.SignedSealKeyRequest


@dataclass(frozen=True, slots=True)
class PublishContract:
    """A contract's next revision, or its first; `terms` is None where they stay as they are."""

    package: str
    member: MemberId
    descriptor_set: bytes
    follows: int
    terms: ContractTermsView | None
    why_not: str


@dataclass(frozen=True, slots=True)
class SetContract:
    """Other terms for a contract."""

    package: str
    member: MemberId
    card_number: int
    terms: ContractTermsView


@dataclass(frozen=True, slots=True)
class CommentSubmission:
    """A word in the thread of a submission."""

    submission: int
    text: str


@dataclass(frozen=True, slots=True)
class PutActivity:
    """A version of a member's processing activity."""

    member: MemberId
    activity: ActivityView


Kind = (
    PutActivity
    | PublishService
    | WithdrawService
    | RenewCertificate
    | SetLinkAddress
    | ReplaceStatement
    | HostMember
    | ReplaceNodeKey
    | WithdrawChange
    | RequestSealKey
    | PublishContract
    | SetContract
    | CommentSubmission
)


@dataclass(frozen=True, slots=True)
class Change:
    """A node's request to change what the registry says; `kind_name` as in the proto."""

    federation: str
    node: NodeId
    number: int
    made_at_ms: int
    kind_name: str
    kind: Kind


def parse_enrolment(data: bytes) -> Enrolment:
    """Reads an Enrolment.

    Raises:
        SimpulError: REQUEST_MALFORMED, ID_MALFORMED or KEY_MALFORMED.
    """
    message = strict.parse(registry_pb2.Enrolment, data, MAX_ENROLMENT_BYTES)
    _check_version(message.version)
    _check_secret(message.secret)
    if not message.HasField("node_key"):
        raise _malformed("an enrolment has a node key")
    return Enrolment(
        secret=message.secret,
        federation=message.federation,
        member=MemberId.parse(message.member),
        node=NodeId.parse(message.node),
        node_key=_node_key(message.node_key),
        certificate_request=_certificate_request(message.certificate_request),
        link_address=message.link_address,
        slots=message.slots,
        listing=_listing(message),
    )


def parse_change(data: bytes) -> Change:
    """Reads a Change.

    Raises:
        SimpulError: REQUEST_MALFORMED or ID_MALFORMED.
    """
    message = strict.parse(registry_pb2.Change, data, MAX_CHANGE_BYTES)
    _check_version(message.version)
    if message.number == 0 or message.number >= 1 << 63:
        raise _malformed("a change's number is 1 or more")
    kind_name = message.WhichOneof("kind")
    if kind_name is None:
        raise _malformed("a change has a kind")
    return Change(
        federation=message.federation,
        node=NodeId.parse(message.node),
        number=message.number,
        made_at_ms=message.made_at_ms,
        kind_name=kind_name,
        kind=_kind(message, kind_name),
    )


@dataclass(frozen=True, slots=True)
class Query:
    """What a node asks about submissions; `submission` is 0 for all of its members."""

    federation: str
    node: NodeId
    made_at_ms: int
    submission: int
    decided: bool


def parse_query(data: bytes) -> Query:
    """Reads a SubmissionQuery.

    Raises:
        SimpulError: REQUEST_MALFORMED or ID_MALFORMED.
    """
    message = strict.parse(registry_pb2.SubmissionQuery, data, MAX_QUERY_BYTES)
    _check_version(message.version)
    return Query(
        message.federation,
        NodeId.parse(message.node),
        message.made_at_ms,
        message.submission,
        message.decided,
    )


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """A contract, to which a node wants to see the closest; `member` None: the node's own."""

    federation: str
    node: NodeId
    made_at_ms: int
    package: str
    descriptor_set: bytes
    member: MemberId | None


def parse_similar_query(data: bytes) -> SimilarQuery:
    """Reads a SimilarQuery.

    Raises:
        SimpulError: REQUEST_MALFORMED or ID_MALFORMED.
    """
    message = strict.parse(registry_pb2.SimilarQuery, data, MAX_CHANGE_BYTES)
    _check_version(message.version)
    check_package(message.package)
    return SimilarQuery(
        message.federation,
        NodeId.parse(message.node),
        message.made_at_ms,
        message.package,
        message.descriptor_set,
        MemberId.parse(message.member) if message.member else None,
    )


def summary(change: Change) -> str:
    """What a change asks for, in one line for people."""
    match change.kind:
        case PublishService(service) | WithdrawService(service):
            return f"{change.kind_name.partition('_')[0]} {service}"
        case SetLinkAddress(address):
            return f"take links at {address}"
        case ReplaceStatement(member, signed):
            return f"statement {parse_statement(signed.statement).number} of {member}"
        case PutActivity(member, activity):
            return f"purpose {activity.id} version {activity.version} of {member}"
        case HostMember(_, member):
            return f"host {member}"
        case PublishContract(package) | SetContract(package):
            return f"{change.kind_name.partition('_')[0]} contract {package}"
        case ReplaceNodeKey(key):
            return f"node key {key.key_id.hex()[:16]}"
        case _:
            return change.kind_name.replace("_", " ")


def _kind(message: registry_pb2.Change, name: str) -> Kind:
    match name:
        case "publish_service":
            publish = message.publish_service
            subsystem = SubsystemId.parse(publish.subsystem)
            return PublishService(ServiceId(subsystem, publish.service), publish.descriptor_set)
        case "withdraw_service":
            withdraw = message.withdraw_service
            return WithdrawService(
                ServiceId(SubsystemId.parse(withdraw.subsystem), withdraw.service)
            )
        case "renew_certificate":
            request = message.renew_certificate.certificate_request
            return RenewCertificate(_certificate_request(request))
        case "set_link_address":
            return SetLinkAddress(message.set_link_address.link_address)
        case "replace_statement":
            signed = message.replace_statement.statement
            inner = strict.parse(
                statement_pb2.MemberStatement, signed.statement, MAX_STATEMENT_BYTES
            )
            return ReplaceStatement(MemberId.parse(inner.member), signed)
        case "host_member":
            host = message.host_member
            _check_secret(host.secret)
            return HostMember(host.secret, MemberId.parse(host.member), _listing(host))
        case "replace_node_key":
            replaced = message.replace_node_key
            return ReplaceNodeKey(_node_key(replaced.node_key), replaced.proof)
        case "withdraw_change":
            return WithdrawChange(message.withdraw_change.number)
        case "request_seal_key":
            asked = message.request_seal_key.seal_key_request
            return RequestSealKey(parse_seal_key_request(asked).member, asked)
        case _:
            return _other_kind(message, name)


def _other_kind(message: registry_pb2.Change, name: str) -> Kind:
    if name == "put_activity":
        put = message.put_activity
        return PutActivity(MemberId.parse(put.member), read_activity(put.activity))
    if name == "comment_submission":
        said = message.comment_submission
        check_comment(said.text)
        return CommentSubmission(said.submission, said.text)
    if name == "set_contract":
        other = message.set_contract
        check_package(other.package)
        terms = read_terms(other.terms, other.package)
        return SetContract(other.package, MemberId.parse(other.member), other.card_number, terms)
    if name != "publish_contract":
        raise _malformed(f"a change of kind {name} is not known")
    new = message.publish_contract
    check_package(new.package)
    if new.why_not:
        check_comment(new.why_not)
    return PublishContract(
        package=new.package,
        member=MemberId.parse(new.member),
        descriptor_set=new.descriptor_set,
        follows=new.follows,
        terms=read_terms(new.terms, new.package) if new.HasField("terms") else None,
        why_not=new.why_not,
    )


def check_comment(text: str) -> None:
    """Pass a word in a thread; raises SimpulError REQUEST_MALFORMED."""
    shown = text.replace("\n", "")
    if not text.strip() or len(text) > MAX_COMMENT_CHARS or not shown.isprintable():
        raise _malformed(f"a comment has 1 to {MAX_COMMENT_CHARS} characters that print")


def _listing(message: registry_pb2.Enrolment | registry_pb2.HostMember) -> KeyListing:
    if message.HasField("statement") == message.HasField("seal_key_request"):
        raise _malformed("a node sends a statement or a request to be listed, one of the two")
    if message.HasField("statement"):
        return message.statement
    return message.seal_key_request


def _node_key(message: keys_pb2.PublicKey) -> PublicKey:
    key = PublicKey.from_proto(message)
    if key.algorithm is not Algorithm.ED25519:
        raise _malformed("a node key is Ed25519")
    return key


def _check_secret(secret: bytes) -> None:
    if len(secret) != SECRET_BYTES:
        raise _malformed(f"an enrolment secret has {SECRET_BYTES} bytes")


def _certificate_request(data: bytes) -> bytes:
    if not 0 < len(data) <= MAX_CERTIFICATE_REQUEST_BYTES:
        raise _malformed(
            f"a certificate request has {len(data)} bytes, not 1 to {MAX_CERTIFICATE_REQUEST_BYTES}"
        )
    return data


def _check_version(version: int) -> None:
    if version != FORMAT_VERSION:
        raise _malformed(f"the format's version is {version}, not {FORMAT_VERSION}")


def _malformed(what: str) -> SimpulError:
    return SimpulError(
        Code.REQUEST_MALFORMED, f"{what}: send what the published protos of version 1 say"
    )
