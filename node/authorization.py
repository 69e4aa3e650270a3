"""Who may call what of a node's own sockets: one table; a method without a row is refused.

Both sockets lie in the home, in a folder of mode 0700: whoever opens one is the machine's
administrator, or a process of the node's own. What a peer's node may call is `exchange.providing`'s
affair, what an app may call that of the agreements.
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


@dataclass(frozen=True, slots=True)
class Row:
    """One method's row."""

    socket: Socket
    proof: Proof


_ADMIN: Final = "/simpul.node.v1.NodeAdmin"
_CONTROL: Final = "/simpul.node.v1.Control"
_OPERATOR: Final = Row(Socket.ADMIN, Proof.MACHINE_ADMINISTRATOR)
_WORKER: Final = Row(Socket.CONTROL, Proof.OWN_WORKER)

TABLE: Final[Mapping[str, Row]] = MappingProxyType(
    {
        f"{_ADMIN}/Status": _OPERATOR,
        f"{_ADMIN}/PublishService": _OPERATOR,
        f"{_ADMIN}/ListServices": _OPERATOR,
        f"{_ADMIN}/AllowAccess": _OPERATOR,
        f"{_ADMIN}/RequestAccess": _OPERATOR,
        f"{_ADMIN}/ListAgreements": _OPERATOR,
        f"{_ADMIN}/ShowAgreement": _OPERATOR,
        f"{_ADMIN}/DecideAgreement": _OPERATOR,
        f"{_ADMIN}/DraftAgreement": _OPERATOR,
        f"{_ADMIN}/ExportAgreement": _OPERATOR,
        f"{_ADMIN}/ImportAgreement": _OPERATOR,
        f"{_ADMIN}/ListUsage": _OPERATOR,
        f"{_ADMIN}/DelegateAccess": _OPERATOR,
        f"{_ADMIN}/DraftDelegation": _OPERATOR,
        f"{_ADMIN}/ImportDelegation": _OPERATOR,
        f"{_ADMIN}/EndDelegation": _OPERATOR,
        f"{_ADMIN}/ListDelegations": _OPERATOR,
        f"{_ADMIN}/SettleAgreements": _OPERATOR,
        f"{_ADMIN}/PutPurpose": _OPERATOR,
        f"{_ADMIN}/ListPurposes": _OPERATOR,
        f"{_ADMIN}/ChangeGroup": _OPERATOR,
        f"{_ADMIN}/ListGroups": _OPERATOR,
        f"{_ADMIN}/ApproveTemplate": _OPERATOR,
        f"{_ADMIN}/EndTemplate": _OPERATOR,
        f"{_ADMIN}/ListTemplates": _OPERATOR,
        f"{_ADMIN}/AddApp": _OPERATOR,
        f"{_ADMIN}/ListApps": _OPERATOR,
        f"{_ADMIN}/RemoveApp": _OPERATOR,
        f"{_ADMIN}/GetContract": _OPERATOR,
        f"{_ADMIN}/ListKeys": _OPERATOR,
        f"{_ADMIN}/ApproveNode": _OPERATOR,
        f"{_ADMIN}/DropNode": _OPERATOR,
        f"{_ADMIN}/RotateKey": _OPERATOR,
        f"{_ADMIN}/SetLinkAddress": _OPERATOR,
        f"{_ADMIN}/WithdrawChange": _OPERATOR,
        f"{_ADMIN}/ListCalls": _OPERATOR,
        f"{_ADMIN}/ShowCall": _OPERATOR,
        f"{_ADMIN}/EraseCalls": _OPERATOR,
        f"{_ADMIN}/DeclineErasure": _OPERATOR,
        f"{_ADMIN}/RewrapJournal": _OPERATOR,
        f"{_ADMIN}/ReconcileJournal": _OPERATOR,
        f"{_ADMIN}/PublishContract": _OPERATOR,
        f"{_ADMIN}/SetContract": _OPERATOR,
        f"{_ADMIN}/ListContracts": _OPERATOR,
        f"{_ADMIN}/ShowContract": _OPERATOR,
        f"{_ADMIN}/CheckContract": _OPERATOR,
        f"{_ADMIN}/FindSimilar": _OPERATOR,
        f"{_ADMIN}/ListSubmissions": _OPERATOR,
        f"{_ADMIN}/CommentSubmission": _OPERATOR,
        f"{_ADMIN}/SearchCatalogue": _OPERATOR,
        f"{_ADMIN}/ShowCatalogue": _OPERATOR,
        f"{_ADMIN}/SnippetCatalogue": _OPERATOR,
        f"{_CONTROL}/Attach": _WORKER,
        f"{_CONTROL}/AnswerPeer": _WORKER,
        f"{_CONTROL}/AskCatalogue": _WORKER,
        f"{_CONTROL}/RefreshDirectory": _WORKER,
        f"{_CONTROL}/Lease": _WORKER,
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
