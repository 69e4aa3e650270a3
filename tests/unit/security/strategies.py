"""Values of the wire's formats, for hypothesis: everything that our printers print."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from security.commitment import Commitment, Tally
from security.entry import ParsedEntry
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from security.kinds import Cancel, CancelReason, Close, HalfClose, Head, Kind, Message, Open, Refuse
from security.parcel import HeaderFields, Received
from security.private import Metadata, Private

T = TypeVar("T")

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
TIMES = st.integers(1, 2**63 - 1)
HASHES = st.binary(min_size=32, max_size=32)
SALTS = st.binary(min_size=48, max_size=48)

MEMBERS = st.sampled_from(["ID/DAERAH/53.15", "ID/KEMENTERIAN/KOMDIGI"]).map(MemberId.parse)
NODES = st.sampled_from(["ID/~labuan-bajo-1", "ID/~komdigi-1"]).map(NodeId.parse)
SUBSYSTEMS = st.builds(
    SubsystemId, MEMBERS, st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
)
SERVICES = st.builds(
    ServiceId, SUBSYSTEMS, st.sampled_from(["wisata.v1.Wisata", "simpul.v1.Agreements"])
)
TALLIES = st.builds(lambda count, digest: Tally(count, digest if count else bytes(32)), U64, HASHES)
CALL_IDS = st.binary(min_size=16, max_size=16).map(
    lambda raw: raw[:6] + bytes([0x70 | raw[6] & 0x0F, raw[7], 0x80 | raw[8] & 0x3F]) + raw[9:]
)
COMMITMENTS = st.builds(Commitment, HASHES, st.integers(1, 2**40).map(lambda n: n * 256))


# Of consents.
REFERENCES = st.from_regex(r"[a-z][A-Za-z0-9._~-]{7,127}", fullmatch=True)


@st.composite
def opens(draw: st.DrawFn) -> Open:
    """Opens with an agreement and a purpose, or with neither where that may be."""
    service = draw(SERVICES)
    named = service.service != "simpul.v1.Agreements" or draw(st.booleans())
    return Open(
        draw(SUBSYSTEMS),
        service,
        draw(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True)),
        draw(HASHES) if named else None,
        draw(st.from_regex(r"[a-z0-9][a-z0-9-]{0,63}", fullmatch=True)) if named else None,
        draw(st.none() | U64),
        draw(st.none() | st.binary(min_size=16, max_size=16)),
        draw(st.booleans()),
        consent=draw(st.none() | REFERENCES) if named else None,
    )


KINDS: st.SearchStrategy[Kind] = st.one_of(
    opens(),
    st.just(Head()),
    st.just(Message()),
    st.builds(HalfClose, TALLIES),
    st.builds(Close, st.integers(0, 16), HASHES, TALLIES, TALLIES),
    st.builds(Cancel, st.sampled_from(CancelReason), TALLIES, TALLIES),
    st.builds(
        Refuse, st.from_regex(r"[A-Z][A-Z0-9_]{0,63}", fullmatch=True), st.integers(1, 16), HASHES
    ),
)


@st.composite
def parsed_entries(draw: st.DrawFn) -> ParsedEntry:
    """Entries that have beside them what their kind may have."""
    kind = draw(KINDS)
    match kind:
        case Open(unary=unary):
            payload = draw(COMMITMENTS) if unary else None
        case Message():
            payload = draw(COMMITMENTS)
        case Close():
            payload = draw(st.none() | COMMITMENTS)
        case _:
            payload = None
    may_hide = isinstance(kind, Open | Head | Close | Refuse)
    return ParsedEntry(
        draw(CALL_IDS),
        draw(U32),
        kind,
        draw(st.booleans()) if payload is not None else False,
        payload,
        draw(st.none() | COMMITMENTS) if may_hide else None,
    )


RECEIPTS = st.builds(Received, U64, HASHES)
HEADERS = st.builds(
    HeaderFields,
    st.just("ID"),
    MEMBERS,
    HASHES,
    NODES,
    HASHES,
    U64,
    HASHES,
    st.none() | RECEIPTS,
    U64,
    TIMES,
    HASHES,
    U32,
    HASHES,
    st.none() | U64,
)

METADATA: st.SearchStrategy[Metadata] = st.lists(
    st.tuples(
        st.from_regex(r"[0-9a-z_.-]{1,20}", fullmatch=True),
        st.from_regex(rb"[\x20-\x7e]{0,20}", fullmatch=True),
    )
    | st.tuples(st.from_regex(r"[0-9a-z_.-]{1,20}-bin", fullmatch=True), st.binary(max_size=20)),
    max_size=4,
).map(tuple)
TEXTS = st.text(max_size=30)
PRIVATE = st.builds(Private, METADATA, METADATA, TEXTS, TEXTS, TEXTS, TEXTS)


def parsed_or_refused(parse: Callable[[bytes], T], data: bytes, *codes: Code) -> T | None:
    """What a parser made of bytes; None where it refused them by one of these codes."""
    try:
        return parse(data)
    except SimpulError as error:
        if error.code not in codes:
            raise
        return None
