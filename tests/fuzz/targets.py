"""What is fuzzed: each parser of what an app, a service, a peer, the registry or an operator says.

A target reads bytes. It may refuse them with a `SimpulError` and nothing else, and what it reads is
what its printer prints: the same bytes where the format has one spelling, the same value otherwise.
Seeds are the vectors of `tests/conformance` and what `tests/support` signs.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from node.gateway.framing import (
    MessageParser,
    parse_metadata,
    parse_status,
    parse_status_message,
    parse_timeout,
    print_message,
    print_metadata,
    print_status_message,
    print_timeout,
)
from node.link.frames import child_frame, chunk_frame, parse_frame, taken_frame
from registry.requests import parse_change, parse_enrolment
from runtime.ports import parse_address
from security.agreement_terms import parse_agreement, print_agreement
from security.certificate import from_pem, make_authority, to_pem
from security.checkpoint import (
    Checkpoint,
    log_key,
    parse_checkpoint,
    parse_text,
    sign_checkpoint,
)
from security.contract import parse_descriptor_set
from security.contract_card import (
    card_path,
    documentation_path,
    parse_card,
    parse_documentation,
)
from security.cosignature import cosign
from security.directory_records import (
    contract_path,
    member_path,
    parse_contract,
    parse_member,
    parse_policy,
)
from security.entry_format import parse_entry
from security.errors import SimpulError
from security.greeting import parse_greeting, print_greeting
from security.identifiers import MemberId, NodeId, RegionCode, ServiceId, SubsystemId
from security.kinds import EntryKind
from security.limits import MIB, Limits
from security.note import NoteKey, parse_note
from security.pack import make_pack, read_pack
from security.parcel import make_header, parse_header
from security.private import make_private, parse_private
from security.seal import parse_seal
from security.statement import parse_statement
from security.tiles import Tile
from security.token import format_token, parse_token
from security.witness import AddCheckpoint, parse_request, parse_size
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import cards, directories
from tests.unit.registry.test_requests import CHANGE, ENROLMENT

LIMITS = Limits()
VECTORS = Path(__file__).parents[1] / "conformance" / "vectors"


@dataclass(frozen=True)
class Target:
    """One parser."""

    name: str
    # Raises SimpulError, or AssertionError where what it read is not what came.
    read: Callable[[bytes], object]
    # Each is read, and none refused.
    seeds: tuple[bytes, ...]

    def run(self, data: bytes) -> bool:
        """Read anything; says whether it was taken. Raises where the parser is at fault."""
        refusal = None
        try:
            self.read(data)
        except SimpulError as error:
            refusal = error.message
        # One line, whatever came: it meets a log and a terminal.
        assert refusal is None or refusal.isprintable(), refusal
        return refusal is None


def _vectors(name: str, *keys: str) -> tuple[bytes, ...]:
    """Every hex text under one of these keys, anywhere in a file of vectors."""

    def walk(value: Any) -> Iterator[bytes]:
        if isinstance(value, list):
            for item in value:
                yield from walk(item)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if key in keys and isinstance(item, str):
                    yield bytes.fromhex(item)
                else:
                    yield from walk(item)

    return tuple(walk(json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))))


def _same(found: object, again: object) -> None:
    assert found == again, f"{found!r} is read, and {again!r} where it is printed anew"


# Parcels and links.


def _header(data: bytes) -> None:
    # Hashed as it came: fields may stand in any order.
    fields = parse_header(data)
    _same(fields, parse_header(make_header(fields)))


def _entry(data: bytes) -> None:
    parse_entry(data)


def _private(data: bytes) -> None:
    taken = 0
    for kind in EntryKind:
        try:
            content = parse_private(data, kind, LIMITS)
        except SimpulError:
            continue
        taken += 1
        _same(content, parse_private(make_private(content), kind, LIMITS))
    if taken == 0:
        parse_private(data, EntryKind.OPEN, LIMITS)


def _greeting(data: bytes) -> None:
    # Its bytes are kept and signed as they came: fields may stand in any order.
    fields = parse_greeting(data)
    _same(fields, parse_greeting(print_greeting(fields)))


# gRPC at the gateway.


def _framing(data: bytes) -> None:
    """However a body is cut, its messages are the same, and print as they came."""
    whole, pieces = MessageParser(MIB, "x"), MessageParser(MIB, "x")
    messages = whole.feed(data)
    cut = [message for at in range(len(data)) for message in pieces.feed(data[at : at + 1])]
    _same(messages, cut)
    whole.end()
    _same(data, b"".join(print_message(message) for message in messages))


def _metadata(data: bytes) -> None:
    """Lines of `name: value` as a header list."""
    headers = [(name, value) for name, _, value in (x.partition(b": ") for x in data.split(b"\n"))]
    found = parse_metadata(headers, 4096, "x")
    _same(found, parse_metadata(print_metadata(found), 8192, "x"))
    parse_status(headers)


def _timeout(data: bytes) -> None:
    milliseconds = parse_timeout(data)
    again = parse_timeout(print_timeout(milliseconds).encode())
    # Whatever is lost in printing is time given and not taken, and less than a hundredth.
    assert milliseconds <= again <= max(milliseconds * 1.01, 1), (milliseconds, again)


def _status_message(data: bytes) -> None:
    text = parse_status_message(data)
    _same(text, parse_status_message(print_status_message(text)))


# Documents.


def _note(data: bytes) -> None:
    _same(data, parse_note(data).to_bytes())


def _checkpoint(data: bytes) -> None:
    signed = parse_checkpoint(data)
    _same(signed.checkpoint, parse_text(signed.checkpoint.text))
    _same(data, signed.note.to_bytes())


def _witness_request(data: bytes) -> None:
    _same(data, parse_request(data).to_bytes())


def _token(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    _same(text, format_token(parse_token(text)))


def _agreement(data: bytes) -> None:
    _same(data, print_agreement(parse_agreement(data)))


_POLICY = directories.policy().SerializeToString(deterministic=True)


def _member(data: bytes) -> None:
    policy = parse_policy(_POLICY)
    for member in (fixed.REGENCY, fixed.MINISTRY):
        with contextlib.suppress(SimpulError):
            parse_member(policy, member_path(member), data)
            return
    parse_member(policy, member_path(fixed.REGENCY), data)


def _contract(data: bytes) -> None:
    """At the path that it should have, if it can be read that far."""
    said = directory_pb2.ContractRevision()
    with contextlib.suppress(DecodeError):
        said.ParseFromString(data)
    parse_contract(fixed.FEDERATION, contract_path(said.service, said.descriptor_set), data)


def _card(data: bytes) -> None:
    """At the path that it should have, as a contract."""
    said = directory_pb2.ContractCard()
    with contextlib.suppress(DecodeError):
        said.ParseFromString(data)
    parse_card(fixed.FEDERATION, card_path(said.package), data)


def _documentation(data: bytes) -> None:
    said = directory_pb2.ContractDocumentation()
    with contextlib.suppress(DecodeError):
        said.ParseFromString(data)
    path = documentation_path(said.package, said.revision)
    parse_documentation(fixed.FEDERATION, path, data)


# Texts.


def _text(read: Callable[[str], object]) -> Callable[[bytes], None]:
    """A parser of text whose value prints as the same text."""

    def run(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        _same(text, str(read(text)))

    return run


def _vkey(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    _same(text, NoteKey.parse(text).vkey)


def _address(data: bytes) -> None:
    address = parse_address(data.decode("utf-8", "replace"))
    _same(address, parse_address(str(address)))


_LOG = fixed.key("a log")


def _seeds_of_notes() -> tuple[bytes, ...]:
    signed = sign_checkpoint(Checkpoint("simpul.example/a", 3, bytes(32)), _LOG)
    line = cosign(signed.checkpoint.text, "witness.example/w", fixed.key("a witness"), 1)
    with_cosignature = type(signed.note)(signed.note.text, (*signed.note.signatures, line))
    return signed.note.to_bytes(), with_cosignature.to_bytes()


_PACK = b"".join(make_pack((("metadata/1.root.json", b"{}"), ("log/0-7", b""))))
_NOTES = _seeds_of_notes()
_TOKEN = str(json.loads((VECTORS / "tokens.json").read_text(encoding="utf-8"))["token"]["text"])
_IDENTIFIERS = json.loads((VECTORS / "identifiers.json").read_text(encoding="utf-8"))


_PEM = to_pem(make_authority("Fuzz", fixed.NOW_MS, 1)[1])


def _identifiers(name: str) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in _IDENTIFIERS[name]["valid"])


def _frames() -> tuple[bytes, ...]:
    return child_frame(bytes(32), bytes(16)), chunk_frame(bytes(32), 0, b"x"), taken_frame(5)


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("header", _header, _vectors("parcels", "header")),
        Target("seal", parse_seal, _vectors("seals", "seal")),
        Target("entry", _entry, _vectors("entries", "entry")),
        Target("private", _private, _vectors("private_blocks", "bytes")),
        Target("frame", lambda data: parse_frame(data, LIMITS), _frames()),
        Target("greeting", _greeting, _vectors("greetings", "greeting")),
        Target("framing", _framing, (b"", b"\0\0\0\0\0", b"\0\0\0\0\2hi\1\0\0\0\1z")),
        Target("metadata", _metadata, (b"x-a: 1\nx-a-bin: AAE\ngrpc-status: 0", b"te: trailers")),
        Target("timeout", _timeout, (b"1S", b"99999999n", b"100m", b"3H", b"0u", b"5M")),
        Target("status_message", _status_message, (b"tidak %C3%A9", b"100%25", b"%zz")),
        Target("note", _note, _NOTES),
        Target("checkpoint", _checkpoint, _NOTES),
        Target(
            "witness_request",
            _witness_request,
            (AddCheckpoint(0, (), parse_checkpoint(_NOTES[0])).to_bytes(),),
        ),
        Target("witness_size", parse_size, (b"0\n", b"17\n")),
        Target("token", _token, (_TOKEN.encode(),)),
        Target("statement", parse_statement, _vectors("statements", "statement")),
        Target("agreement", _agreement, _vectors("agreements", "agreement")),
        Target("policy", parse_policy, (_POLICY,)),
        Target(
            "member",
            _member,
            tuple(
                record.SerializeToString(deterministic=True)
                for record in (directories.regency_record(), directories.ministry_record())
            ),
        ),
        Target("contract", _contract, (directories.contract_file()[1],)),
        Target("card", _card, (cards.card(),)),
        Target("documentation", _documentation, (cards.docs(),)),
        Target(
            "descriptors",
            parse_descriptor_set,
            (directories.descriptor_set(),),
        ),
        Target("enrolment", parse_enrolment, (ENROLMENT,)),
        Target("change", parse_change, (CHANGE,)),
        Target(
            "tile",
            _text(lambda text: Tile.parse(text).path),
            (b"tile/0/000", b"tile/entries/x001/x234/067.p/8"),
        ),
        Target(
            "vkey", _vkey, (log_key("simpul.example/a", fixed.key("a log").public).vkey.encode(),)
        ),
        Target("pack", lambda data: tuple(read_pack((data,), lambda _: MIB)), (_PACK,)),
        Target("member_id", _text(MemberId.parse), _identifiers("member")),
        Target("subsystem_id", _text(SubsystemId.parse), _identifiers("subsystem")),
        Target("service_id", _text(ServiceId.parse), _identifiers("service")),
        Target("node_id", _text(NodeId.parse), _identifiers("node")),
        Target("region", _text(RegionCode.parse), _identifiers("region")),
        Target("address", _address, (b"127.0.0.1:8441", b"[::1]:1", b"unix:/tmp/x", b"a.b:9")),
        Target("certificate", from_pem, (_PEM,)),
    )
}
