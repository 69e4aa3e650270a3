"""What each code means: the gRPC status that carries it, its meaning, and what to do.

The table is what `simpul explain` prints and what the reference in docs/ lists. Statuses are gRPC's
numbers, so that this room needs no gRPC; a test compares them with grpcio's, and the table with the
codes: neither may have a row more than the other.

Source: docs/spec, "Errors".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from security.error_codes import Code


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What a code means: `meaning` and `action` are one line each."""

    grpc_status: int
    meaning: str
    action: str


_CANCELLED: Final = 1
_INVALID_ARGUMENT: Final = 3
_DEADLINE_EXCEEDED: Final = 4
_NOT_FOUND: Final = 5
_ALREADY_EXISTS: Final = 6
_PERMISSION_DENIED: Final = 7
_RESOURCE_EXHAUSTED: Final = 8
_FAILED_PRECONDITION: Final = 9
_ABORTED: Final = 10
_UNIMPLEMENTED: Final = 12
_INTERNAL: Final = 13
_UNAVAILABLE: Final = 14
_DATA_LOSS: Final = 15
_UNAUTHENTICATED: Final = 16

ERRORS: Final[Mapping[Code, ErrorInfo]] = MappingProxyType(
    {
        Code.ADDRESS_MISSING: ErrorInfo(
            _INVALID_ARGUMENT,
            "The call names no provider.",
            "Send simpul-to with a subsystem, or simpul-region with a region code.",
        ),
        Code.ID_MALFORMED: ErrorInfo(
            _INVALID_ARGUMENT,
            "A name isn't spelled as its kind of name must be.",
            "Spell it like the example in the message.",
        ),
        Code.MEMBER_UNKNOWN: ErrorInfo(
            _NOT_FOUND,
            "The directory lists no such member.",
            "Check the spelling; ask the registry's operator whether it has joined.",
        ),
        Code.METHOD_UNKNOWN: ErrorInfo(
            _UNIMPLEMENTED,
            "The service's contract has no such method.",
            "Call a method of the published contract.",
        ),
        Code.NODE_UNKNOWN: ErrorInfo(
            _NOT_FOUND,
            "The directory lists no such node.",
            "Check the spelling; ask the registry's operator whether it has joined.",
        ),
        Code.REGION_UNKNOWN: ErrorInfo(
            _NOT_FOUND,
            "Nobody offers this service in this region.",
            "Check the region code, or name the provider with simpul-to.",
        ),
        Code.SERVICE_UNKNOWN: ErrorInfo(
            _UNIMPLEMENTED,
            "The provider doesn't offer this service.",
            "Check the service's name and the provider's published services.",
        ),
        Code.SUBSYSTEM_UNKNOWN: ErrorInfo(
            _NOT_FOUND,
            "The directory lists no such subsystem.",
            "Check the spelling; its member lists it by publishing a service.",
        ),
        Code.ACCESS_CONSUMER: ErrorInfo(
            _PERMISSION_DENIED,
            "The agreement doesn't name this consumer.",
            "Ask the provider for an agreement that names this subsystem.",
        ),
        Code.ACCESS_EXPIRED: ErrorInfo(
            _PERMISSION_DENIED,
            "The agreement doesn't hold at this time.",
            "Call within its dates and hours, or ask the provider for a new one.",
        ),
        Code.ACCESS_METHOD: ErrorInfo(
            _PERMISSION_DENIED,
            "The agreement doesn't cover this method.",
            "Ask the provider for an agreement that lists it.",
        ),
        Code.ACCESS_NO_AGREEMENT: ErrorInfo(
            _PERMISSION_DENIED,
            "No agreement permits this call.",
            "Ask the provider to allow it: simpul access allow.",
        ),
        Code.ACCESS_PURPOSE: ErrorInfo(
            _PERMISSION_DENIED,
            "The purpose is missing, or isn't in the agreement.",
            "Send simpul-purpose with one of the agreement's purposes.",
        ),
        Code.AGREEMENT_DECLINED: ErrorInfo(
            _PERMISSION_DENIED,
            "The other side declined the agreement.",
            "Settle its terms with the other side, then offer it again.",
        ),
        Code.AGREEMENT_INVALID: ErrorInfo(
            _INVALID_ARGUMENT,
            "An agreement breaks its format, or a signature on it is wrong.",
            "Make it again, and have both sides sign it.",
        ),
        Code.APP_CREDENTIAL_MISSING: ErrorInfo(
            _UNAUTHENTICATED,
            "The app hasn't said who it is.",
            "Send the app's token or client certificate: simpul app add.",
        ),
        Code.APP_CREDENTIAL_WRONG: ErrorInfo(
            _UNAUTHENTICATED,
            "The app's token or certificate isn't known here.",
            "Add the app anew and use the token shown: simpul app add.",
        ),
        Code.APP_SUBSYSTEM_AMBIGUOUS: ErrorInfo(
            _INVALID_ARGUMENT,
            "The app may act for several subsystems and named none.",
            "Send simpul-from with one of them.",
        ),
        Code.APP_SUBSYSTEM_DENIED: ErrorInfo(
            _PERMISSION_DENIED,
            "The app may not act for this subsystem.",
            "Name a subsystem that the app was added for, or add it for this one.",
        ),
        Code.CERTIFICATE_MISMATCH: ErrorInfo(
            _FAILED_PRECONDITION,
            "A certificate isn't the one that was expected.",
            "Check the address; ask the registry's operator for a new token.",
        ),
        Code.IDENTITY_CHANGED: ErrorInfo(
            _FAILED_PRECONDITION,
            "A member's identity key isn't the one that was pinned.",
            "Compare the fingerprint with that member by another way, then accept it.",
        ),
        Code.KEY_MALFORMED: ErrorInfo(
            _INVALID_ARGUMENT,
            "Bytes are no key of the algorithm named.",
            "Make the key anew, or restore its file from a good copy.",
        ),
        Code.KEY_NOT_VALID: ErrorInfo(
            _PERMISSION_DENIED,
            "A key is used outside its dates, or on another node.",
            "Check the clock; renew the member's seal key.",
        ),
        Code.KEY_REVOKED: ErrorInfo(
            _PERMISSION_DENIED,
            "A key was revoked.",
            "Replace the key: its member publishes a new statement.",
        ),
        Code.KEY_UNKNOWN: ErrorInfo(
            _PERMISSION_DENIED,
            "A member's statement doesn't list this key.",
            "Fetch the newest directory; have the member list the key.",
        ),
        Code.MEMBER_SUSPENDED: ErrorInfo(
            _PERMISSION_DENIED,
            "The registry has suspended or removed this member.",
            "Ask the registry's operator why.",
        ),
        Code.NODE_REVOKED: ErrorInfo(
            _PERMISSION_DENIED,
            "The registry has revoked this node.",
            "Ask the registry's operator why; enrol the node anew.",
        ),
        Code.ROOT_MISMATCH: ErrorInfo(
            _FAILED_PRECONDITION,
            "The root metadata isn't the one that the token names.",
            "Get root.json and the token again, both from the registry's operator.",
        ),
        Code.SIGNATURE_INVALID: ErrorInfo(
            _UNAUTHENTICATED,
            "A signature doesn't match the bytes and the key.",
            "Sign the bytes as sent, with the key that is listed.",
        ),
        Code.STATEMENT_INVALID: ErrorInfo(
            _INVALID_ARGUMENT,
            "A member's statement breaks its format or its chain.",
            "Make a new statement that follows the member's last one.",
        ),
        Code.TOKEN_EXPIRED: ErrorInfo(
            _UNAUTHENTICATED,
            "The enrolment token has expired.",
            "Ask the registry's operator for a new one: simpul registry enrol.",
        ),
        Code.TOKEN_MALFORMED: ErrorInfo(
            _INVALID_ARGUMENT,
            "The text is no enrolment token.",
            "Copy the whole token again, from simpul1_ to its last letter.",
        ),
        Code.TOKEN_OTHER_FEDERATION: ErrorInfo(
            _INVALID_ARGUMENT,
            "The token is of another federation.",
            "Use a token of the federation that this registry runs.",
        ),
        Code.TOKEN_UNKNOWN: ErrorInfo(
            _UNAUTHENTICATED,
            "The registry has made no such token.",
            "Ask the registry's operator for a new one: simpul registry enrol.",
        ),
        Code.TOKEN_USED: ErrorInfo(
            _UNAUTHENTICATED,
            "The enrolment token was used before.",
            "Ask the registry's operator for a new one: simpul registry enrol.",
        ),
        Code.ALREADY_EXISTS: ErrorInfo(
            _ALREADY_EXISTS,
            "Something of this name exists already.",
            "Choose another name, or change the one that exists.",
        ),
        Code.CHANGE_INVALID: ErrorInfo(
            _INVALID_ARGUMENT,
            "A change breaks its format or asks for what isn't allowed.",
            "Mend it as the message says, and send it again.",
        ),
        Code.CHANGE_REPLAYED: ErrorInfo(
            _FAILED_PRECONDITION,
            "A change has a number that was used before.",
            "Send it with a higher number.",
        ),
        Code.CONFLICT: ErrorInfo(
            _ABORTED,
            "Somebody else changed the same thing meanwhile.",
            "Read it again, then repeat the command.",
        ),
        Code.DIRECTORY_ABSENT: ErrorInfo(
            _UNAVAILABLE,
            "The node has no copy of the directory yet.",
            "Start the registry or a mirror, or import a copy.",
        ),
        Code.DIRECTORY_DEAD: ErrorInfo(
            _UNAVAILABLE,
            "The copy of the directory is older than the policy allows.",
            "Restore the way to the registry, or import a newer copy.",
        ),
        Code.DIRECTORY_ROLLBACK: ErrorInfo(
            _FAILED_PRECONDITION,
            "A directory is older than one seen before.",
            "Fetch it from another place; tell the registry's operator.",
        ),
        Code.DIRECTORY_SPLIT: ErrorInfo(
            _FAILED_PRECONDITION,
            "Two directories have one version and differ.",
            "Stop and tell the registry's operator: somebody shows two views.",
        ),
        Code.DIRECTORY_UNTRUSTED: ErrorInfo(
            _FAILED_PRECONDITION,
            "A directory isn't what its signers may sign, or is inconsistent.",
            "Check that root.json is this federation's; tell the registry's operator.",
        ),
        Code.NOT_FOUND: ErrorInfo(
            _NOT_FOUND, "There is nothing of this name.", "Check the spelling; list what there is."
        ),
        Code.PROOF_INVALID: ErrorInfo(
            _DATA_LOSS,
            "A Merkle proof doesn't lead to the root.",
            "Get the proof again from its source; if it fails again, report it.",
        ),
        Code.REGISTRY_UNREACHABLE: ErrorInfo(
            _UNAVAILABLE,
            "The registry doesn't answer.",
            "Check its address and that it runs; calls go on meanwhile.",
        ),
        Code.CANCELLED: ErrorInfo(
            _CANCELLED,
            "The app cancelled the call.",
            "Nothing: call again when the answer is wanted.",
        ),
        Code.COMPRESSION_UNSUPPORTED: ErrorInfo(
            _UNIMPLEMENTED,
            "The message's compression isn't supported.",
            "Send it with gzip or uncompressed.",
        ),
        Code.DEADLINE_EXCEEDED: ErrorInfo(
            _DEADLINE_EXCEEDED, "The call's time ran out.", "Give it more time, or ask for less."
        ),
        Code.INTERNAL: ErrorInfo(
            _INTERNAL,
            "A fault of the node's own.",
            "Look for the call id in the node's log, and report it.",
        ),
        Code.MESSAGE_TOO_LARGE: ErrorInfo(
            _RESOURCE_EXHAUSTED,
            "A message is larger than is allowed.",
            "Send less at a time, or use a streaming method.",
        ),
        Code.METADATA_MALFORMED: ErrorInfo(
            _INVALID_ARGUMENT,
            "The call's metadata can't be carried.",
            "Mend the key that the message names.",
        ),
        Code.METADATA_TOO_LARGE: ErrorInfo(
            _RESOURCE_EXHAUSTED,
            "The call's metadata is larger than is allowed.",
            "Send less metadata.",
        ),
        Code.NODE_DRAINING: ErrorInfo(
            _UNAVAILABLE, "The node is about to stop.", "Try again in a moment, or on another node."
        ),
        Code.NOT_STARTED: ErrorInfo(
            _UNAVAILABLE,
            "The call was cut off, and was certainly not started.",
            "Call again: it's safe.",
        ),
        Code.OUTCOME_UNKNOWN: ErrorInfo(
            _UNAVAILABLE,
            "The call was cut off, and may have been carried out.",
            "Ask the provider before calling again, if twice would do harm.",
        ),
        Code.OVERLOADED: ErrorInfo(
            _RESOURCE_EXHAUSTED,
            "More calls are under way than are allowed.",
            "Try again later, with fewer at a time.",
        ),
        Code.PEER_UNREACHABLE: ErrorInfo(
            _UNAVAILABLE,
            "The provider's node doesn't answer.",
            "Try again later; simpul node doctor shows the way to it.",
        ),
        Code.REQUEST_MALFORMED: ErrorInfo(
            _INVALID_ARGUMENT,
            "A request isn't what its format says.",
            "Print it by the published protos.",
        ),
        Code.SERVICE_UNREACHABLE: ErrorInfo(
            _UNAVAILABLE,
            "The provider's node can't reach its service.",
            "Ask the provider to start the service.",
        ),
        Code.SUPERVISOR_LOST: ErrorInfo(
            _UNAVAILABLE,
            "The worker has lost its supervisor, and takes no calls.",
            "Try again in a moment; look at the node's log if it lasts.",
        ),
        Code.CONFIG_INVALID: ErrorInfo(
            _INVALID_ARGUMENT,
            "The configuration has a key or value that isn't allowed.",
            "Mend the key that the message names.",
        ),
        Code.HOME_EXISTS: ErrorInfo(
            _FAILED_PRECONDITION,
            "The home folder is in use already.",
            "Choose another folder with --home.",
        ),
        Code.HOME_FOREIGN: ErrorInfo(
            _FAILED_PRECONDITION,
            "The home folder is of another federation or another node.",
            "Choose the right folder with --home.",
        ),
        Code.HOME_LOCKED: ErrorInfo(
            _FAILED_PRECONDITION,
            "Another process uses this home folder.",
            "Stop it first, or choose another folder with --home.",
        ),
        Code.HOME_MISSING: ErrorInfo(
            _FAILED_PRECONDITION,
            "There is no home folder here.",
            "Make it: simpul node init, or simpul registry init.",
        ),
        Code.JOURNAL_CORRUPT: ErrorInfo(
            _DATA_LOSS,
            "The journal isn't what was written.",
            "Stop the node, keep the file, and restore it: simpul journal verify.",
        ),
        Code.JOURNAL_FAILED: ErrorInfo(
            _UNAVAILABLE,
            "The journal can't be written.",
            "Look at the disk and the node's log; then start the node again.",
        ),
        Code.JOURNAL_FULL: ErrorInfo(
            _RESOURCE_EXHAUSTED,
            "The journal's disk is full.",
            "Free or add space; traffic goes on by itself then.",
        ),
        Code.JOURNAL_LOCKED: ErrorInfo(
            _FAILED_PRECONDITION,
            "Another worker holds this journal.",
            "Stop the other one, or wait until its lease ends.",
        ),
        Code.NOT_RUNNING: ErrorInfo(
            _UNAVAILABLE,
            "The program isn't running.",
            "Start it: simpul node serve, or simpul registry serve.",
        ),
        Code.PORT_IN_USE: ErrorInfo(
            _FAILED_PRECONDITION,
            "Another program listens at this address.",
            "Stop it, or set another port in the configuration.",
        ),
        Code.PROTOSET_INVALID: ErrorInfo(
            _INVALID_ARGUMENT,
            "The file is no compiled set of protobuf files.",
            "Make it with protoc --include_imports --descriptor_set_out=FILE.",
        ),
        Code.PROTOSET_LACKS_SERVICE: ErrorInfo(
            _INVALID_ARGUMENT,
            "The protoset doesn't hold the service.",
            "Compile the file that defines the service, with its imports.",
        ),
        Code.COMMITMENT_MISMATCH: ErrorInfo(
            _DATA_LOSS,
            "A payload or private block isn't what its entry commits to.",
            "Report it to the peer's operator: its node sends false parcels.",
        ),
        Code.CREDIT_EXCEEDED: ErrorInfo(
            _RESOURCE_EXHAUSTED,
            "The peer opened more calls than its credit allows.",
            "Report it to the peer's operator: its node ignores credit.",
        ),
        Code.ENTRY_PARTY: ErrorInfo(
            _PERMISSION_DENIED,
            "An entry comes from a member that isn't its call's party.",
            "Report it to the peer's operator: its node mixes up members.",
        ),
        Code.ENTRY_STATE: ErrorInfo(
            _FAILED_PRECONDITION,
            "An entry isn't allowed in its call's state.",
            "Report it to the peer's operator: its node breaks the protocol.",
        ),
        Code.GREETING_MALFORMED: ErrorInfo(
            _INVALID_ARGUMENT,
            "A greeting isn't what its format says.",
            "Update the older of the two nodes.",
        ),
        Code.GREETING_MISADDRESSED: ErrorInfo(
            _FAILED_PRECONDITION,
            "A greeting is meant for another node.",
            "Check the peer's link address in the directory.",
        ),
        Code.GREETING_SIGNATURE: ErrorInfo(
            _UNAUTHENTICATED,
            "A greeting isn't signed by the node that it names.",
            "Check the peer's link address; tell its operator.",
        ),
        Code.GREETING_STALE: ErrorInfo(
            _FAILED_PRECONDITION,
            "A greeting is too old, or from the future.",
            "Set both nodes' clocks.",
        ),
        Code.GREETING_VERSION: ErrorInfo(
            _FAILED_PRECONDITION,
            "The two nodes share no version of the wire.",
            "Update the older of the two nodes.",
        ),
        Code.LINK_UNKNOWN: ErrorInfo(
            _FAILED_PRECONDITION,
            "A child names a link that isn't open here.",
            "Nothing: the peer greets anew. Report it if it lasts.",
        ),
        Code.PARCEL_MALFORMED: ErrorInfo(
            _INVALID_ARGUMENT,
            "A parcel isn't what its format says.",
            "Report it to the peer's operator: its node sends broken parcels.",
        ),
        Code.PARCEL_MISADDRESSED: ErrorInfo(
            _FAILED_PRECONDITION,
            "A parcel is for another federation, node or link.",
            "Report it to the peer's operator: somebody replays parcels.",
        ),
        Code.PARCEL_ORDER: ErrorInfo(
            _FAILED_PRECONDITION,
            "A parcel doesn't follow the one before it.",
            "Nothing: the link opens anew. Report it if it lasts.",
        ),
        Code.PARCEL_ROOT: ErrorInfo(
            _DATA_LOSS,
            "A parcel's entries aren't those that its header seals.",
            "Report it to the peer's operator: somebody alters parcels.",
        ),
        Code.PARCEL_SEAL: ErrorInfo(
            _UNAUTHENTICATED,
            "A parcel's seal isn't its member's signature.",
            "Report it to the peer's operator: somebody forges parcels.",
        ),
        Code.PARCEL_TIME: ErrorInfo(
            _FAILED_PRECONDITION,
            "A parcel was sealed in the future, or before the one before it.",
            "Set both nodes' clocks.",
        ),
        Code.PARCEL_TOO_LARGE: ErrorInfo(
            _RESOURCE_EXHAUSTED,
            "A parcel is larger than is allowed.",
            "Update the peer's node, or raise this node's limit.",
        ),
        Code.PARCEL_VERSION: ErrorInfo(
            _FAILED_PRECONDITION,
            "A parcel has a version of the wire that wasn't agreed on.",
            "Update the older of the two nodes.",
        ),
        Code.REFUSALS_EXCEEDED: ErrorInfo(
            _RESOURCE_EXHAUSTED,
            "The peer was refused too often, and the link was closed.",
            "Stop the calls that have no agreement, then let it link again.",
        ),
    }
)
