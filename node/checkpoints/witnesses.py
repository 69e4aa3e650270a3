"""The client of C2SP's witness protocol: what a witness knows, and its cosignature.

Nothing that a witness says is believed unsigned. What it shows must bear its own cosignature; what
it returns is a cosignature of just this checkpoint, by just this key.

Source: c2sp.org/tlog-witness.
"""

from http import HTTPStatus
from typing import Final, Protocol

from node.checkpoints.http import HttpClient, NoAnswerError
from security.checkpoint import SignedCheckpoint, parse_checkpoint
from security.cosignature import Cosignature, verified_cosignatures
from security.errors import Code, SimpulError
from security.note import MAX_NOTE_BYTES, Note, decode_text, parse_signatures
from security.oversight import WitnessView
from security.witness import AddCheckpoint, WitnessRefusal, origin_hash, parse_size

# Which of the protocol's steps a status stands for (security.witness); 409 has a size as well.
_STEPS: Final = {
    HTTPStatus.BAD_REQUEST: 1,
    HTTPStatus.NOT_FOUND: 2,
    HTTPStatus.FORBIDDEN: 3,
    HTTPStatus.UNPROCESSABLE_ENTITY: 7,
}
_SIZE_STEP: Final = 5


class Witnesses(Protocol):
    """How witnesses are asked. Any thread may."""

    def latest(self, witness: WitnessView, origin: str) -> SignedCheckpoint | None:
        """Returns what a witness cosigned last of a log, which its cosignature proves.

        None where it says that it cosigned nothing.

        Raises:
            SimpulError: WITNESS_UNREACHABLE; WITNESS_REFUSED for an answer that proves nothing.
        """

    def add(self, witness: WitnessView, request: AddCheckpoint) -> Cosignature:
        """Has a checkpoint cosigned.

        Raises:
            WitnessRefusal: with the witness's status, and its size where that is 409.
            SimpulError: WITNESS_UNREACHABLE; WITNESS_REFUSED for an answer that is none.
        """


class HttpWitnesses:
    """See `Witnesses`."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def latest(self, witness: WitnessView, origin: str) -> SignedCheckpoint | None:
        """See the protocol."""
        url = f"{witness.url}/{origin_hash(origin)}/checkpoint"
        status, body = self._ask(witness, "GET", url, None)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise _unreachable(witness, f"HTTP {status}")
        try:
            signed = parse_checkpoint(body)
            found = verified_cosignatures(signed.note, (witness.key,))
        except SimpulError as error:
            raise _nothing(witness, error.message) from error
        if len(found) == 0 or signed.checkpoint.origin != origin:
            raise _nothing(witness, "it shows a checkpoint that it didn't cosign, or another log's")
        return signed

    def add(self, witness: WitnessView, request: AddCheckpoint) -> Cosignature:
        """See the protocol."""
        url = f"{witness.url}/add-checkpoint"
        status, body = self._ask(witness, "POST", url, request.to_bytes())
        text = request.signed.note.text
        try:
            if status == HTTPStatus.OK:
                lines = parse_signatures(decode_text(body, MAX_NOTE_BYTES))
                found = verified_cosignatures(Note(text, lines), (witness.key,))
                if len(found) == 0:
                    raise _nothing(witness, "its answer holds no cosignature of its own")
                return found[0]
            known = parse_size(body) if status == HTTPStatus.CONFLICT else None
        except SimpulError as error:
            if error.code is Code.WITNESS_REFUSED:
                raise
            raise _nothing(witness, error.message) from error
        if known is not None:
            raise WitnessRefusal(
                HTTPStatus.CONFLICT,
                f"witness {witness.key.name} stands at {known}",
                step=_SIZE_STEP,
                known_size=known,
            )
        for refusal, step in _STEPS.items():
            if status == refusal:
                raise WitnessRefusal(
                    refusal, f"witness {witness.key.name} answers {status}", step=step
                )
        raise _unreachable(witness, f"HTTP {status}")

    def _ask(
        self, witness: WitnessView, method: str, url: str, body: bytes | None
    ) -> tuple[int, bytes]:
        try:
            answer = self._client.ask(method, url, body=body, max_bytes=MAX_NOTE_BYTES)
        except NoAnswerError as error:
            raise _unreachable(witness, str(error)) from error
        return answer.status, answer.body


def _unreachable(witness: WitnessView, why: str) -> SimpulError:
    return SimpulError(
        Code.WITNESS_UNREACHABLE,
        f"witness {witness.key.name} at {witness.url} doesn't answer ({why}): check its address",
    )


def _nothing(witness: WitnessView, why: str) -> SimpulError:
    return SimpulError(
        Code.WITNESS_REFUSED,
        f"witness {witness.key.name} at {witness.url} proves nothing: {why}; tell its operators",
    )
