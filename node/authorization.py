"""Who may call what of a node's own sockets: one table; a method without a row is refused.

Both sockets lie in the home, in a folder of mode 0700: whoever opens one is the machine's
administrator, or a process of the node's own. Operators come by a socket of theirs, which is passed
on to the first; of them a row says what they must be, and for whom (`operators`). What a peer's
node may call is `exchange.providing`'s affair, what an app may call that of the agreements.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from security.errors import Code, SimpulError


class Socket(StrEnum):
    """Where a call came in."""

    ADMIN = "admin"
    CONTROL = "control"


class Proof(StrEnum):
    """What proves that a caller may."""

    MACHINE_ADMINISTRATOR = "machine administrator"
    # A process that this node's supervisor started, under its own user.
    OWN_WORKER = "own worker"


class Need(StrEnum):
    """What an operator must be for the members that a request is about."""

    # No role suffices: it is about the node, or about all of its members.
    ADMINISTRATOR = "administrator"
    # The role of the same name.
    OPERATOR = "operator"
    # Any role.
    LOOK = "look"


class About(StrEnum):
    """Where a request says which members it is about; `operators` reads it."""

    # Nowhere: it is about the node.
    NODE = "node"
    # It names none, and the answer has what the caller may see: his own, or the public directory's.
    OWN = "own"
    MEMBER = "member"
    SUBSYSTEM = "subsystem"
    SUBSYSTEMS = "subsystems"
    # The subsystems of the app that is named.
    APP = "app"
    # Of the terms: the service's member, the consumer's, or who makes them.
    PROVIDER = "provider"
    CONSUMER = "consumer"
    PROPOSER = "proposer"
    DELEGATOR = "delegator"
    # Who gave the delegation that is named.
    DELEGATION = "delegation"
    # Either of its parties that are hosted here.
    AGREEMENT = "agreement"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Row:
    """One method's row. A method that doesn't say otherwise is the administrator's alone."""

    socket: Socket
    proof: Proof
    need: Need = Need.ADMINISTRATOR
    about: About = About.NODE


_ADMIN: Final = "/simpul.node.v1.NodeAdmin"
_CONTROL: Final = "/simpul.node.v1.Control"
_ADMINISTRATOR: Final = Row(Socket.ADMIN, Proof.MACHINE_ADMINISTRATOR)
_SEEN: Final = Row(Socket.ADMIN, Proof.MACHINE_ADMINISTRATOR, Need.LOOK, About.OWN)
_WORKER: Final = Row(Socket.CONTROL, Proof.OWN_WORKER)


def _act(about: About) -> Row:
    return Row(Socket.ADMIN, Proof.MACHINE_ADMINISTRATOR, Need.OPERATOR, about)


def _look(about: About) -> Row:
    return Row(Socket.ADMIN, Proof.MACHINE_ADMINISTRATOR, Need.LOOK, about)


TABLE: Final[Mapping[str, Row]] = MappingProxyType(
    {
        f"{_ADMIN}/Status": _SEEN,
        f"{_ADMIN}/PublishService": _act(About.SUBSYSTEM),
        f"{_ADMIN}/ListServices": _SEEN,
        f"{_ADMIN}/AllowAccess": _act(About.PROVIDER),
        f"{_ADMIN}/RequestAccess": _act(About.CONSUMER),
        f"{_ADMIN}/ListAgreements": _SEEN,
        f"{_ADMIN}/ShowAgreement": _look(About.AGREEMENT),
        f"{_ADMIN}/DecideAgreement": _act(About.AGREEMENT),
        f"{_ADMIN}/DraftAgreement": _act(About.PROPOSER),
        f"{_ADMIN}/ExportAgreement": _act(About.AGREEMENT),
        f"{_ADMIN}/ImportAgreement": _act(About.DOCUMENT),
        f"{_ADMIN}/ListUsage": _SEEN,
        f"{_ADMIN}/DelegateAccess": _act(About.DELEGATOR),
        f"{_ADMIN}/DraftDelegation": _ADMINISTRATOR,
        f"{_ADMIN}/ImportDelegation": _ADMINISTRATOR,
        f"{_ADMIN}/EndDelegation": _act(About.DELEGATION),
        f"{_ADMIN}/ListDelegations": _SEEN,
        f"{_ADMIN}/SettleAgreements": _ADMINISTRATOR,
        f"{_ADMIN}/PutPurpose": _act(About.MEMBER),
        f"{_ADMIN}/ListPurposes": _SEEN,
        f"{_ADMIN}/ChangeGroup": _act(About.MEMBER),
        f"{_ADMIN}/ListGroups": _SEEN,
        f"{_ADMIN}/ApproveTemplate": _act(About.PROVIDER),
        f"{_ADMIN}/EndTemplate": _act(About.MEMBER),
        f"{_ADMIN}/ListTemplates": _SEEN,
        f"{_ADMIN}/RecordConsent": _ADMINISTRATOR,
        f"{_ADMIN}/WithdrawConsent": _ADMINISTRATOR,
        f"{_ADMIN}/ListConsents": _ADMINISTRATOR,
        f"{_ADMIN}/AddOperator": _ADMINISTRATOR,
        f"{_ADMIN}/ListOperators": _ADMINISTRATOR,
        f"{_ADMIN}/RemoveOperator": _ADMINISTRATOR,
        f"{_ADMIN}/AddApp": _act(About.SUBSYSTEMS),
        f"{_ADMIN}/ListApps": _SEEN,
        f"{_ADMIN}/RemoveApp": _act(About.APP),
        f"{_ADMIN}/GetContract": _SEEN,
        f"{_ADMIN}/ListKeys": _ADMINISTRATOR,
        f"{_ADMIN}/ApproveNode": _ADMINISTRATOR,
        f"{_ADMIN}/DropNode": _ADMINISTRATOR,
        f"{_ADMIN}/RotateKey": _ADMINISTRATOR,
        f"{_ADMIN}/SetLinkAddress": _ADMINISTRATOR,
        f"{_ADMIN}/WithdrawChange": _ADMINISTRATOR,
        f"{_ADMIN}/ListCalls": _ADMINISTRATOR,
        f"{_ADMIN}/ShowCall": _ADMINISTRATOR,
        f"{_ADMIN}/EraseCalls": _ADMINISTRATOR,
        f"{_ADMIN}/DeclineErasure": _ADMINISTRATOR,
        f"{_ADMIN}/RewrapJournal": _ADMINISTRATOR,
        f"{_ADMIN}/ReconcileJournal": _ADMINISTRATOR,
        f"{_ADMIN}/PublishContract": _ADMINISTRATOR,
        f"{_ADMIN}/SetContract": _ADMINISTRATOR,
        f"{_ADMIN}/ListContracts": _SEEN,
        f"{_ADMIN}/ShowContract": _SEEN,
        f"{_ADMIN}/CheckContract": _ADMINISTRATOR,
        f"{_ADMIN}/FindSimilar": _ADMINISTRATOR,
        f"{_ADMIN}/ListSubmissions": _ADMINISTRATOR,
        f"{_ADMIN}/CommentSubmission": _ADMINISTRATOR,
        f"{_ADMIN}/SearchCatalogue": _ADMINISTRATOR,
        f"{_ADMIN}/ShowCatalogue": _ADMINISTRATOR,
        f"{_ADMIN}/SnippetCatalogue": _ADMINISTRATOR,
        f"{_CONTROL}/Attach": _WORKER,
        f"{_CONTROL}/AnswerPeer": _WORKER,
        f"{_CONTROL}/AskCatalogue": _WORKER,
        f"{_CONTROL}/RefreshDirectory": _WORKER,
        f"{_CONTROL}/Lease": _WORKER,
        f"{_CONTROL}/VerifyConsent": _WORKER,
    }
)


def authorize(method: str, socket: Socket) -> Row:
    """The row by which `method` is answered on `socket`.

    Raises:
        SimpulError: METHOD_UNKNOWN, when there is none.
    """
    row = TABLE.get(method)
    if row is None or row.socket is not socket:
        raise SimpulError(
            Code.METHOD_UNKNOWN, f"{method[:200]} is not answered here: check the name and address"
        )
    return row
