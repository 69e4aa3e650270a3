"""C2SP's witness protocol, `add-checkpoint`: its texts, and a witness's rules.

A log posts its newest checkpoint, with a proof that it continues the one that this witness cosigned
last. The witness cosigns what continues, and nothing else; so whoever sees its cosignature knows
that the log has shown everybody one history.

    request:  old <size>
              base64 of a hash           the proof, at most 63 lines
              (an empty line)
              the checkpoint, signed by the log

    200       signature lines            400  malformed, or the old size is above the new
    404       no such log                403  not signed by the log
    409       <size cosigned last>       422  it doesn't continue that

It keeps nothing and asks no clock: `runtime.witness` stores before it answers.

Source: c2sp.org/tlog-witness.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from security.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    log_key,
    parse_checkpoint,
)
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES, sha256
from security.keys import PublicKey
from security.merkle import EMPTY_ROOT, MAX_SIZE, verify_consistency
from security.note import MAX_NOTE_BYTES, decode_base64, decode_text, verify_note

MAX_PROOF_LINES: Final = 63
MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + 4096
SIZE_TYPE: Final = "text/x.tlog.size"

_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")
_SIZE: Final = re.compile(r"(0|[1-9][0-9]{0,18})\n")


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request. Nothing of it is verified."""

    old_size: int
    proof: tuple[bytes, ...]
    signed: SignedCheckpoint

    def to_bytes(self) -> bytes:
        """The body as it travels."""
        lines = [f"old {self.old_size}", *(base64.b64encode(item).decode() for item in self.proof)]
        return ("\n".join(lines) + "\n\n").encode() + self.signed.note.to_bytes()


class WitnessRefusal(SimpulError):  # noqa: N818  (a no, and no fault of ours)
    """A witness's no: the step that failed, and its exact HTTP status.

    `known_size` is the size that it cosigned last, where the status is 409.
    """

    def __init__(
        self, status: HTTPStatus, message: str, *, step: int, known_size: int | None = None
    ) -> None:
        super().__init__(Code.WITNESS_REFUSED, message, step=str(step), status=str(status.value))
        self.status = status
        self.step = step
        self.known_size = known_size


def parse_request(data: bytes) -> AddCheckpoint:
    """Read a request: step 1.

    Raises:
        WitnessRefusal: 400.
    """
    try:
        head, found, rest = decode_text(data, MAX_REQUEST_BYTES).partition("\n\n")
        old, *lines = head.split("\n")
        match = _OLD.fullmatch(old)
        if found == "" or match is None or len(lines) > MAX_PROOF_LINES:
            raise _malformed("it has no old size, or more proof than there can be")
        proof = tuple(map(decode_base64, lines))
        if any(len(item) != HASH_BYTES for item in proof) or int(match[1]) > MAX_SIZE:
            raise _malformed(f"a line of its proof isn't a hash of {HASH_BYTES} bytes")
        return AddCheckpoint(int(match[1]), proof, parse_checkpoint(rest.encode()))
    except WitnessRefusal:
        raise
    except SimpulError as error:
        raise _malformed(error.message) from error


def judge(
    request: AddCheckpoint, keys: Sequence[PublicKey] | None, latest: Checkpoint | None
) -> None:
    """Say whether a witness may cosign.

    Args:
        request: What was asked.
        keys: The log's, by its origin; None for a log that isn't known, empty where none is
            trusted any more.
        latest: What this witness cosigned last for this origin.

    Raises:
        WitnessRefusal: with the number of the step, and the status that it's answered with.
    """
    checkpoint = request.signed.checkpoint
    # 2. The log is known.
    if keys is None:
        raise WitnessRefusal(
            HTTPStatus.NOT_FOUND, "this log isn't known here: list it in the directory", step=2
        )
    # 3. The log signed it.
    try:
        verify_note(request.signed.note, [log_key(checkpoint.origin, key) for key in keys])
    except SimpulError as error:
        raise WitnessRefusal(HTTPStatus.FORBIDDEN, error.message, step=3) from error
    # 4. It doesn't shrink by its own account.
    if request.old_size > checkpoint.size:
        raise WitnessRefusal(
            HTTPStatus.BAD_REQUEST, "its old size is above its size: send a newer one", step=4
        )
    # 5. It begins where this witness stands.
    known = 0 if latest is None else latest.size
    if request.old_size != known:
        raise WitnessRefusal(
            HTTPStatus.CONFLICT,
            f"this witness stands at {known}: send the proof from there",
            step=5,
            known_size=known,
        )
    # 6. An empty tree has the one root that it can have.
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise WitnessRefusal(
            HTTPStatus.UNPROCESSABLE_ENTITY, "an empty tree has another root than this", step=6
        )
    # 7. It continues what this witness cosigned.
    old_root = EMPTY_ROOT if latest is None else latest.root
    try:
        verify_consistency(known, old_root, checkpoint.size, checkpoint.root, request.proof)
    except SimpulError as error:
        raise WitnessRefusal(HTTPStatus.UNPROCESSABLE_ENTITY, error.message, step=7) from error


def origin_hash(origin: str) -> str:
    """Return the name that a witness serves a log's latest checkpoint under."""
    return sha256(origin.encode()).hex()


def format_size(size: int) -> bytes:
    """Return the body of a 409."""
    return f"{size}\n".encode()


def parse_size(data: bytes) -> int:
    """Read the body of a 409; raises SimpulError NOTE_MALFORMED."""
    match = _SIZE.fullmatch(decode_text(data, 32))
    if match is None or int(match[1]) > MAX_SIZE:
        raise SimpulError(Code.NOTE_MALFORMED, "a witness's 409 holds no size; ask its operator")
    return int(match[1])


def _malformed(what: str) -> WitnessRefusal:
    return WitnessRefusal(HTTPStatus.BAD_REQUEST, f"this is no request: {what}", step=1)
