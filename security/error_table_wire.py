"""What the codes of calls, links and parcels mean: the second half of `error_table`.

Source: docs/spec, "Errors".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from security.error_codes import Code, ErrorInfo, Status

WIRE_ERRORS: Final[Mapping[Code, ErrorInfo]] = MappingProxyType(
    {
        Code.CALL_REPEATED: ErrorInfo(
            Status.ALREADY_EXISTS,
            "A call with this id was handed to its service before, or its id is too old to tell.",
            "Look in the journals what came of the first; a new call has a new id.",
        ),
        Code.CANCELLED: ErrorInfo(
            Status.CANCELLED,
            "The app cancelled the call.",
            "Nothing: call again when the answer is wanted.",
        ),
        Code.COMPRESSION_UNSUPPORTED: ErrorInfo(
            Status.UNIMPLEMENTED,
            "The message's compression isn't supported.",
            "Send it with gzip or uncompressed.",
        ),
        Code.DEADLINE_EXCEEDED: ErrorInfo(
            Status.DEADLINE_EXCEEDED,
            "The call's time ran out.",
            "Give it more time, or ask for less.",
        ),
        Code.INTERNAL: ErrorInfo(
            Status.INTERNAL,
            "A fault of the node's own.",
            "Look for the call id in the node's log, and report it.",
        ),
        Code.MESSAGE_TOO_LARGE: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "A message is larger than is allowed.",
            "Send less at a time, or use a streaming method.",
        ),
        Code.METADATA_MALFORMED: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "The call's metadata can't be carried.",
            "Mend the key that the message names.",
        ),
        Code.METADATA_TOO_LARGE: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "The call's metadata is larger than is allowed.",
            "Send less metadata.",
        ),
        Code.NODE_DRAINING: ErrorInfo(
            Status.UNAVAILABLE,
            "The node is about to stop.",
            "Try again in a moment, or on another node.",
        ),
        Code.NOT_STARTED: ErrorInfo(
            Status.UNAVAILABLE,
            "The call was cut off, and was certainly not started.",
            "Call again: it's safe.",
        ),
        Code.OUTCOME_UNKNOWN: ErrorInfo(
            Status.UNAVAILABLE,
            "The call was cut off, and may have been carried out.",
            "Ask the provider before calling again, if twice would do harm.",
        ),
        Code.OVERLOADED: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "More calls are under way than are allowed.",
            "Try again later, with fewer at a time.",
        ),
        Code.PEER_UNREACHABLE: ErrorInfo(
            Status.UNAVAILABLE,
            "The provider's node doesn't answer.",
            "Try again later; see that node's log, and its link address.",
        ),
        Code.REQUEST_MALFORMED: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A request isn't what its format says.",
            "Print it by the published protos.",
        ),
        Code.MESSAGE_UNREADABLE: ErrorInfo(
            Status.INTERNAL,
            "A message isn't of the contract's type, so no field mask can be applied to it.",
            "Have the provider publish the contract that its service speaks.",
        ),
        Code.SERVICE_UNREACHABLE: ErrorInfo(
            Status.UNAVAILABLE,
            "The provider's node can't reach its service.",
            "Ask the provider to start the service.",
        ),
        Code.SUPERVISOR_LOST: ErrorInfo(
            Status.UNAVAILABLE,
            "The worker has lost its supervisor, and takes no calls.",
            "Try again in a moment; look at the node's log if it lasts.",
        ),
        Code.COMMITMENT_MISMATCH: ErrorInfo(
            Status.DATA_LOSS,
            "A payload or private block isn't what its entry commits to.",
            "Report it to the peer's operator: its node sends false parcels.",
        ),
        Code.CREDIT_EXCEEDED: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "The peer opened more calls than its credit allows.",
            "Report it to the peer's operator: its node ignores credit.",
        ),
        Code.ENTRY_PARTY: ErrorInfo(
            Status.PERMISSION_DENIED,
            "An entry comes from a member that isn't its call's party.",
            "Report it to the peer's operator: its node mixes up members.",
        ),
        Code.ENTRY_STATE: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "An entry isn't allowed in its call's state.",
            "Report it to the peer's operator: its node breaks the protocol.",
        ),
        Code.GREETING_MALFORMED: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A greeting isn't what its format says.",
            "Update the older of the two nodes.",
        ),
        Code.GREETING_MISADDRESSED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A greeting is meant for another node.",
            "Check the peer's link address in the directory.",
        ),
        Code.GREETING_SIGNATURE: ErrorInfo(
            Status.UNAUTHENTICATED,
            "A greeting isn't signed by the node that it names.",
            "Check the peer's link address; tell its operator.",
        ),
        Code.GREETING_STALE: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A greeting is too old, or from the future.",
            "Set both nodes' clocks.",
        ),
        Code.GREETING_VERSION: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "The two nodes share no version of the wire.",
            "Update the older of the two nodes.",
        ),
        Code.LINK_UNKNOWN: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A child names a link that isn't open here.",
            "Nothing: the peer greets anew. Report it if it lasts.",
        ),
        Code.PARCEL_MALFORMED: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A parcel isn't what its format says.",
            "Report it to the peer's operator: its node sends broken parcels.",
        ),
        Code.PARCEL_MISADDRESSED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A parcel is for another federation, node or link.",
            "Report it to the peer's operator: somebody replays parcels.",
        ),
        Code.PARCEL_ORDER: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A parcel doesn't follow the one before it.",
            "Nothing: the link opens anew. Report it if it lasts.",
        ),
        Code.PARCEL_ROOT: ErrorInfo(
            Status.DATA_LOSS,
            "A parcel's entries aren't those that its header seals.",
            "Report it to the peer's operator: somebody alters parcels.",
        ),
        Code.PARCEL_SEAL: ErrorInfo(
            Status.UNAUTHENTICATED,
            "A parcel's seal isn't its member's signature.",
            "Report it to the peer's operator: somebody forges parcels.",
        ),
        Code.PARCEL_TIME: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A parcel was sealed in the future, or before the one before it.",
            "Set both nodes' clocks.",
        ),
        Code.PARCEL_TOO_LARGE: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "A parcel is larger than is allowed.",
            "Update the peer's node, or raise this node's limit.",
        ),
        Code.PARCEL_VERSION: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A parcel has a version of the wire that wasn't agreed on.",
            "Update the older of the two nodes.",
        ),
        Code.REFUSALS_EXCEEDED: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "The peer was refused too often, and the link was closed.",
            "Stop the calls that have no agreement, then let it link again.",
        ),
    }
)
