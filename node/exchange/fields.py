"""Lets only the agreed fields of a call pass: of its messages, and of its metadata.

The provider's node drops everything else of an answer before it is sealed, and of a request before
its service sees it; the consumer's node drops the same of a request before it leaves. Where an
agreement says `all`, nothing is looked at.

A message that came compressed goes on as it is, uncompressed: it had to be read.

Source: docs/spec, "Field masks".
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Final

from node.calls import Message, Metadata, ResponseEvent, UnaryAnswer
from security.agreement import AgreementTerms
from security.agreement_fields import MethodFields, method_fields
from security.contract_types import contract_types
from security.errors import Code, SimpulError

# zlib's: a gzip or a zlib header, whichever is there; gRPC's `deflate` is the latter.
_EITHER: Final = 47
_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Fields:
    """What may pass of one method, each way; None: all."""

    request: MethodFields | None = None
    response: MethodFields | None = None
    # Of a message, when it has been unpacked.
    max_bytes: int = 0

    def asked(self, message: Message) -> Message:
        """A message of the request.

        Raises:
            SimpulError: MESSAGE_UNREADABLE; MESSAGE_TOO_LARGE, once unpacked.
        """
        return self._message(self.request, message)

    def asked_metadata(self, metadata: Metadata) -> Metadata:
        """The metadata of the request."""
        return _metadata(self.request, metadata)

    def answered(self, event: ResponseEvent) -> ResponseEvent:
        """An event of the answer.

        Raises:
            SimpulError: as `asked`.
        """
        if self.response is None:
            return event
        if isinstance(event, Message):
            return self._message(self.response, event)
        kept = self.answered_metadata(event.metadata)
        return replace(event, metadata=kept)

    def answered_metadata(self, metadata: Metadata) -> Metadata:
        """Metadata of the answer, initial or trailing."""
        return _metadata(self.response, metadata)

    def answered_whole(self, answer: UnaryAnswer) -> UnaryAnswer:
        """All of a unary answer; raises as `answered`."""
        if self.response is None:
            return answer
        message = answer.message
        return UnaryAnswer(
            self.answered_metadata(answer.headers),
            None if message is None else self._message(self.response, message),
            replace(answer.trailers, metadata=self.answered_metadata(answer.trailers.metadata)),
        )

    def _message(self, fields: MethodFields | None, message: Message) -> Message:
        if fields is None:
            return message
        data = _unpacked(message.data, self.max_bytes) if message.compressed else message.data
        return Message(fields.mask.apply(data))


ALL: Final = Fields()


class FieldRules:
    """What agreements say of the fields of each method. One for each worker, which remembers."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._known: dict[tuple[bytes, str, str, bytes], Fields] = {}

    def of(
        self, agreement: bytes, terms: AgreementTerms, method: tuple[str, str], contract: bytes
    ) -> Fields:
        """What may pass of a method (service and name) under an agreement.

        Args:
            agreement: Its hash.
            terms: What it says.
            method: The service's full name, and the method's.
            contract: The descriptor set that the directory lists for the service.

        Raises:
            SimpulError: ACCESS_FIELDS: the agreement doesn't fit the contract.
        """
        if terms.request_fields.paths is None and terms.response_fields.paths is None:
            return ALL
        key = (agreement, *method, contract)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._make(terms, *method, contract)
        return found

    def _make(self, terms: AgreementTerms, service: str, method: str, contract: bytes) -> Fields:
        types = contract_types(contract)
        return Fields(
            method_fields(terms.request_fields, types.request(service, method), method),
            method_fields(terms.response_fields, types.response(service, method), method),
            self._max_bytes,
        )


def _metadata(fields: MethodFields | None, metadata: Metadata) -> Metadata:
    if fields is None:
        return metadata
    return tuple((key, value) for key, value in metadata if key in fields.metadata)


def _unpacked(data: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_EITHER)
    try:
        unpacked = unpacker.decompress(data, max_bytes + 1)
    except zlib.error:
        raise SimpulError(
            Code.MESSAGE_UNREADABLE,
            "a compressed message is neither gzip nor deflate, so its fields can't be told apart: "
            "send it uncompressed",
        ) from None
    if len(unpacked) > max_bytes:
        raise SimpulError(
            Code.MESSAGE_TOO_LARGE,
            f"a compressed message has over {max_bytes} bytes unpacked, the limit of this node",
        )
    if not unpacker.eof:
        raise SimpulError(Code.MESSAGE_UNREADABLE, "a compressed message is cut short")
    return unpacked
