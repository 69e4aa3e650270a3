"""What a witness does with a request: judge, store, cosign, in this order and one at a time.

It asks the clock that it's given, because a cosignature states its time. A fork or a rollback is
refused, told to `on_event`, and logged as an error: it's proof of misbehaviour, or of a restore.

Source: c2sp.org/tlog-witness.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog

from runtime.witness.store import WitnessStore
from security.checkpoint import parse_checkpoint
from security.cosignature import cosign, witness_key
from security.keys import PrivateKey, PublicKey
from security.note import NoteKey
from security.witness import (
    SIZE_TYPE,
    AddCheckpoint,
    WitnessRefusal,
    format_size,
    judge,
    parse_request,
)

TEXT_TYPE: Final = "text/plain; charset=utf-8"
_MS_PER_S: Final = 1000

_log = structlog.stdlib.get_logger(__name__)

# A log's keys by its origin; None for one that isn't known, empty where none is trusted any more.
KeysOf = Callable[[str], Sequence[PublicKey] | None]
# Told of every answer by its HTTP status.
OnEvent = Callable[[HTTPStatus], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Witness:
    """One witness: a name, a key, a memory. Any thread may ask it."""

    def __init__(
        self,
        name: str,
        key: PrivateKey,
        store: WitnessStore,
        keys_of: KeysOf,
        now_ms: Callable[[], int],
        on_event: OnEvent = lambda _status: None,
    ) -> None:
        """`keys_of` may raise; the request is then answered with 500."""
        self._name = name
        self._private = key
        self._store = store
        self._keys_of = keys_of
        self._now_ms = now_ms
        self._on_event = on_event
        self._lock = threading.Lock()

    @property
    def key(self) -> NoteKey:
        """What verifies its cosignatures."""
        return witness_key(self._name, self._private)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answers `POST add-checkpoint`."""
        try:
            request = parse_request(body)
            with self._lock:
                answer = self._cosigned(request)
        except WitnessRefusal as refusal:
            answer = _refused(refusal)
        self._on_event(answer.status)
        return answer

    def checkpoint(self, hashed: str) -> Answer:
        """Answers `GET <origin hash>/checkpoint`."""
        note = self._store.by_hash(hashed)
        if note is None:
            return Answer(HTTPStatus.NOT_FOUND, TEXT_TYPE, b"nothing was cosigned of this log\n")
        return Answer(HTTPStatus.OK, TEXT_TYPE, note)

    def _cosigned(self, request: AddCheckpoint) -> Answer:
        signed = request.signed
        origin = signed.checkpoint.origin
        old = self._store.latest(origin)
        latest = None if old is None else parse_checkpoint(old).checkpoint
        keys = self._keys_of(origin)
        try:
            judge(request, keys, latest)
        except WitnessRefusal as refusal:
            if refusal.status is HTTPStatus.UNPROCESSABLE_ENTITY:
                _log.error(
                    "a log doesn't continue what this witness cosigned",
                    origin=origin, size=signed.checkpoint.size, why=refusal.message,
                )  # fmt: skip
            raise
        line = cosign(signed.note.text, self._name, self._private, self._now_ms() // _MS_PER_S)
        # Of the other lines only the log's own are known to be true; the same note may come again.
        mine = tuple(item for item in signed.note.signatures if item.name == origin)
        kept = type(signed.note)(signed.note.text, mine).with_signatures([line])
        self._store.swap(origin, old, kept.to_bytes())
        return Answer(HTTPStatus.OK, TEXT_TYPE, line.line.encode())


def _refused(refusal: WitnessRefusal) -> Answer:
    if refusal.known_size is not None:
        return Answer(refusal.status, SIZE_TYPE, format_size(refusal.known_size))
    return Answer(refusal.status, TEXT_TYPE, f"{refusal.message}\n".encode())
