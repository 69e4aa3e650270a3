"""What each code means: the gRPC status that carries it, its meaning, and what to do.

The table is what `simpul explain` prints and what the reference in docs/ lists. A test compares it
with the codes: neither may have a row more than the other.

Source: docs/spec, "Errors".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from security.error_codes import Code, ErrorInfo, Status
from security.error_table_access import ACCESS_ERRORS
from security.error_table_consent import CONSENT_ERRORS
from security.error_table_contract import CONTRACT_ERRORS
from security.error_table_wire import WIRE_ERRORS

ERRORS: Final[Mapping[Code, ErrorInfo]] = MappingProxyType(
    {
        Code.ADDRESS_MISSING: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "The call names no provider.",
            "Send simpul-to with a subsystem, or simpul-region with a region code.",
        ),
        Code.GATHER_INCOMPLETE: ErrorInfo(
            Status.UNAVAILABLE,
            "Parts of what was gathered are missing.",
            "Ask simpul.v1.Gather/Report which; send simpul-partial: ok if some are enough.",
        ),
        Code.GATHER_METHOD: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "This method can't be called at many regions in this way.",
            "Gather streamed answers by simpul-region, single ones by simpul.v1.Gather/Call.",
        ),
        Code.GATHER_TOO_WIDE: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "The gather has more parts than a node takes.",
            "Gather by province, one after the other.",
        ),
        Code.GATHER_UNKNOWN: ErrorInfo(
            Status.NOT_FOUND,
            "The caller's subsystem made no such gather, or its record was archived.",
            "Check the id; ask with a credential of the subsystem that made it.",
        ),
        Code.ID_MALFORMED: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A name isn't spelled as its kind of name must be.",
            "Spell it like the example in the message.",
        ),
        Code.MEMBER_UNKNOWN: ErrorInfo(
            Status.NOT_FOUND,
            "The directory lists no such member.",
            "Check the spelling; ask the registry's operator whether it has joined.",
        ),
        Code.METHOD_UNKNOWN: ErrorInfo(
            Status.UNIMPLEMENTED,
            "The service's contract has no such method.",
            "Call a method of the published contract.",
        ),
        Code.NODE_UNKNOWN: ErrorInfo(
            Status.NOT_FOUND,
            "The directory lists no such node.",
            "Check the spelling; ask the registry's operator whether it has joined.",
        ),
        Code.REGION_AMBIGUOUS: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "Several providers would answer for this region, and none may be chosen.",
            "Name one with simpul-to, or call one of the regions that the message names.",
        ),
        Code.REGION_UNKNOWN: ErrorInfo(
            Status.NOT_FOUND,
            "The directory knows no such region.",
            "Check the region code, or name the provider with simpul-to.",
        ),
        Code.REGION_UNSERVED: ErrorInfo(
            Status.NOT_FOUND,
            "Nobody offers this service for this region.",
            "Ask the region to adopt the contract, or name another provider with simpul-to.",
        ),
        Code.SERVICE_UNKNOWN: ErrorInfo(
            Status.UNIMPLEMENTED,
            "The provider doesn't offer this service.",
            "Check the service's name and the provider's published services.",
        ),
        Code.SUBSYSTEM_UNKNOWN: ErrorInfo(
            Status.NOT_FOUND,
            "The directory lists no such subsystem.",
            "Check the spelling; its member lists it by publishing a service.",
        ),
        Code.APP_CREDENTIAL_MISSING: ErrorInfo(
            Status.UNAUTHENTICATED,
            "The app hasn't said who it is.",
            "Send the app's token or client certificate: simpul app add.",
        ),
        Code.APP_CREDENTIAL_WRONG: ErrorInfo(
            Status.UNAUTHENTICATED,
            "The app's token or certificate isn't known here.",
            "Add the app anew and use the token shown: simpul app add.",
        ),
        Code.APP_SUBSYSTEM_AMBIGUOUS: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "The app may act for several subsystems and named none.",
            "Send simpul-from with one of them.",
        ),
        Code.APP_SUBSYSTEM_DENIED: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The app may not act for this subsystem.",
            "Name a subsystem that the app was added for, or add it for this one.",
        ),
        Code.CERTIFICATE_MISMATCH: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A certificate isn't the one that was expected.",
            "Check the address; ask the registry's operator for a new token.",
        ),
        Code.CERTIFICATE_REFUSED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A certificate of an outside authority isn't one that peers would take.",
            "Have it issued as the message says, and import it with its intermediates.",
        ),
        Code.IDENTITY_CHANGED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A member's identity key isn't the one that was pinned.",
            "Compare the fingerprint with that member by another way, then accept it.",
        ),
        Code.KEY_MALFORMED: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "Bytes are no key of the algorithm named.",
            "Make the key anew, or restore its file from a good copy.",
        ),
        Code.KEY_NOT_VALID: ErrorInfo(
            Status.PERMISSION_DENIED,
            "A key is used outside its dates, or on another node.",
            "Check the clock; renew the member's seal key.",
        ),
        Code.KEY_REVOKED: ErrorInfo(
            Status.PERMISSION_DENIED,
            "A key was revoked.",
            "Replace the key: its member publishes a new statement.",
        ),
        Code.KEY_UNKNOWN: ErrorInfo(
            Status.PERMISSION_DENIED,
            "A member's statement doesn't list this key.",
            "Fetch the newest directory; have the member list the key.",
        ),
        Code.MEMBER_SUSPENDED: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The registry has suspended or removed this member.",
            "Ask the registry's operator why.",
        ),
        Code.SUBSYSTEM_SUSPENDED: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The registry has suspended or removed this subsystem.",
            "Ask the registry's operator why.",
        ),
        Code.HSM_KEY: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "The token holds no such key, another one, or one that it can't sign with.",
            "See what the token holds; put the right token back, or rotate to another key.",
        ),
        Code.HSM_PIN: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "The token's PIN is absent, refused or locked.",
            "Put the right PIN where it is read from; a wrong one is never tried twice.",
        ),
        Code.HSM_UNAVAILABLE: ErrorInfo(
            Status.UNAVAILABLE,
            "The token that holds a key doesn't answer.",
            "See that it is there and on; the node tries again by itself.",
        ),
        Code.IDENTITY_ABSENT: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "This node holds no identity key of the member, so it can't sign for it.",
            "Do it on the member's node that holds the key.",
        ),
        Code.NODE_REVOKED: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The registry has revoked this node.",
            "Ask the registry's operator why; enrol the node anew.",
        ),
        Code.ROOT_MISMATCH: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "The root metadata isn't the one that the token names.",
            "Get root.json and the token again, both from the registry's operator.",
        ),
        Code.SIGNATURE_INVALID: ErrorInfo(
            Status.UNAUTHENTICATED,
            "A signature doesn't match the bytes and the key.",
            "Sign the bytes as sent, with the key that is listed.",
        ),
        Code.STATEMENT_INVALID: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A member's statement breaks its format or its chain.",
            "Make a new statement that follows the member's last one.",
        ),
        Code.TOKEN_EXPIRED: ErrorInfo(
            Status.UNAUTHENTICATED,
            "The enrolment token has expired.",
            "Ask the registry's operator for a new one: simpul registry enrol.",
        ),
        Code.TOKEN_MALFORMED: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "The text is no enrolment token.",
            "Copy the whole token again, from simpul1_ to its last letter.",
        ),
        Code.TOKEN_OTHER_FEDERATION: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "The token is of another federation.",
            "Use a token of the federation that this registry runs.",
        ),
        Code.TOKEN_UNKNOWN: ErrorInfo(
            Status.UNAUTHENTICATED,
            "The registry has made no such token.",
            "Ask the registry's operator for a new one: simpul registry enrol.",
        ),
        Code.TOKEN_USED: ErrorInfo(
            Status.UNAUTHENTICATED,
            "The enrolment token was used before.",
            "Ask the registry's operator for a new one: simpul registry enrol.",
        ),
        Code.ALREADY_EXISTS: ErrorInfo(
            Status.ALREADY_EXISTS,
            "Something of this name exists already.",
            "Choose another name, or change the one that exists.",
        ),
        Code.CHANGE_INVALID: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A change breaks its format or asks for what isn't allowed.",
            "Mend it as the message says, and send it again.",
        ),
        Code.APPROVAL_PENDING: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "The change waits until the registry's operator has approved it.",
            "Ask the registry's operator; nothing needs to be sent again.",
        ),
        Code.CHANGE_REPLAYED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A change has a number that was used before.",
            "Send it with a higher number.",
        ),
        Code.CONFLICT: ErrorInfo(
            Status.ABORTED,
            "Somebody else changed the same thing meanwhile.",
            "Read it again, then repeat the command.",
        ),
        Code.DIRECTORY_ABSENT: ErrorInfo(
            Status.UNAVAILABLE,
            "The node has no copy of the directory yet.",
            "Start the registry or a mirror, or import a copy.",
        ),
        Code.DIRECTORY_DEAD: ErrorInfo(
            Status.UNAVAILABLE,
            "The copy of the directory is older than the policy allows.",
            "Restore the way to the registry, or import a newer copy.",
        ),
        Code.DIRECTORY_ROLLBACK: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A directory is older than one seen before.",
            "Fetch it from another place; tell the registry's operator.",
        ),
        Code.DIRECTORY_SPLIT: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "Two directories have one version and differ.",
            "Stop and tell the registry's operator: somebody shows two views.",
        ),
        Code.DIRECTORY_UNLOGGED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A directory isn't the one that the registry's public log says.",
            "Stop and tell the registry's operator: others don't see what is shown here.",
        ),
        Code.DIRECTORY_UNTRUSTED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A directory isn't what its signers may sign, or is inconsistent.",
            "Check that root.json is this federation's; tell the registry's operator.",
        ),
        Code.NOT_FOUND: ErrorInfo(
            Status.NOT_FOUND,
            "There is nothing of this name.",
            "Check the spelling; list what there is.",
        ),
        Code.OPERATOR_REFUSED: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The operator may not do this, or not for this member.",
            "Ask somebody with the right role, or to be enrolled.",
        ),
        Code.PROOF_INVALID: ErrorInfo(
            Status.DATA_LOSS,
            "A Merkle proof doesn't lead to the root.",
            "Get the proof again from its source; if it fails again, report it.",
        ),
        Code.REGISTRY_UNREACHABLE: ErrorInfo(
            Status.UNAVAILABLE,
            "The registry doesn't answer.",
            "Check its address and that it runs; calls go on meanwhile.",
        ),
        Code.CHECKPOINT_INVALID: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A checkpoint isn't spelt as one, or isn't that of the log it is shown for.",
            "Get it again from its source; if it fails again, report it.",
        ),
        Code.EVIDENCE_INVALID: ErrorInfo(
            Status.DATA_LOSS,
            "An evidence file doesn't prove what it is for: a numbered step fails.",
            "Get the file again from who exported it, or the other side's; check --root.",
        ),
        Code.JOURNAL_RESTORED_OR_FORKED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "The journal isn't the one whose checkpoints this node signed: restored or changed.",
            "Put the newest journal back; where it's lost, enrol the node anew under another name.",
        ),
        Code.NOTE_MALFORMED: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A text isn't a signed note, or a key isn't a verifier key.",
            "Send it as c2sp.org/signed-note says.",
        ),
        Code.TIMESTAMP_INVALID: ErrorInfo(
            Status.DATA_LOSS,
            "A time stamp isn't that of a listed authority over these bytes.",
            "Ask the authority again; if it fails again, report it to the federation.",
        ),
        Code.TIMESTAMP_OVERDUE: ErrorInfo(
            Status.UNAVAILABLE,
            "No authority has stamped the journal's time for longer than the federation allows.",
            "Mend the way to the federation's time-stamp authorities; traffic goes on by itself.",
        ),
        Code.TIMESTAMP_UNREACHABLE: ErrorInfo(
            Status.UNAVAILABLE,
            "A time-stamp authority doesn't answer.",
            "Check its address; the others are asked meanwhile.",
        ),
        Code.WITNESS_REFUSED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "A witness doesn't cosign a checkpoint.",
            "Read its reason in the log; traffic goes on meanwhile.",
        ),
        Code.WITNESS_UNREACHABLE: ErrorInfo(
            Status.UNAVAILABLE,
            "A witness doesn't answer.",
            "Check its address; cosignatures come later, and traffic goes on.",
        ),
        Code.CONFIG_INVALID: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "The configuration has a key or value that isn't allowed.",
            "Mend the key that the message names.",
        ),
        Code.BACKUP_INVALID: ErrorInfo(
            Status.DATA_LOSS,
            "The file is no whole backup, or its passphrase is another one.",
            "Nothing was restored: take another copy of the backup, or the right passphrase.",
        ),
        Code.DATABASE_CORRUPT: ErrorInfo(
            Status.DATA_LOSS,
            "The database isn't what was written, or is of a newer version.",
            "Stop the program, keep the file, and restore it from a backup.",
        ),
        Code.DATABASE_FAILED: ErrorInfo(
            Status.UNAVAILABLE,
            "The database can't be read or written.",
            "Look at the disk and the program's log; then try again.",
        ),
        Code.HOME_EXISTS: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "The home folder is in use already.",
            "Choose another folder with --home.",
        ),
        Code.HOME_FOREIGN: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "The home folder is of another federation or another node.",
            "Choose the right folder with --home.",
        ),
        Code.HOME_LOCKED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "Another process uses this home folder.",
            "Stop it first, or choose another folder with --home.",
        ),
        Code.HOME_MISSING: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "There is no home folder here.",
            "Make it: simpul node init, or simpul registry init.",
        ),
        Code.ARCHIVE_FAILED: ErrorInfo(
            Status.UNAVAILABLE,
            "The place where archives are kept can't be read or written.",
            "Look at the place, its disk and its credentials; nothing is dropped meanwhile.",
        ),
        Code.ARCHIVE_INVALID: ErrorInfo(
            Status.DATA_LOSS,
            "An archive isn't what was taken out of the journal.",
            "Keep it, and get it again from a copy: simpul journal archive verify.",
        ),
        Code.JOURNAL_CORRUPT: ErrorInfo(
            Status.DATA_LOSS,
            "The journal isn't what was written.",
            "Stop the node, keep the file, and restore it: simpul journal verify.",
        ),
        Code.JOURNAL_FAILED: ErrorInfo(
            Status.UNAVAILABLE,
            "The journal can't be written.",
            "Look at the disk and the node's log; then start the node again.",
        ),
        Code.JOURNAL_FULL: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "The journal's disk is full.",
            "Free or add space; traffic goes on by itself then.",
        ),
        Code.JOURNAL_LOCKED: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "Another worker holds this journal.",
            "Stop the other one, or wait until its lease ends.",
        ),
        Code.JOURNALS_DIFFER: ErrorInfo(
            Status.DATA_LOSS,
            "Two nodes' records of the same parcels differ.",
            "Run simpul journal verify on both; restore the one that lost or changed a parcel.",
        ),
        Code.NOT_RUNNING: ErrorInfo(
            Status.UNAVAILABLE,
            "The program isn't running.",
            "Start it: simpul node serve, or simpul registry serve.",
        ),
        Code.PORT_IN_USE: ErrorInfo(
            Status.FAILED_PRECONDITION,
            "Another program listens at this address.",
            "Stop it, or set another port in the configuration.",
        ),
        Code.PROTOSET_INVALID: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "The file is no compiled set of protobuf files.",
            "Make it with protoc --include_imports --descriptor_set_out=FILE.",
        ),
        Code.PROTOSET_LACKS_SERVICE: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "The protoset doesn't hold the service.",
            "Compile the file that defines the service, with its imports.",
        ),
        **ACCESS_ERRORS,
        **CONSENT_ERRORS,
        **CONTRACT_ERRORS,
        **WIRE_ERRORS,
    }
)
