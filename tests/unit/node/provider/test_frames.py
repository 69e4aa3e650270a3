"""Frames and header blocks: what is printed is read again, by others' code too."""

from __future__ import annotations

import contextlib

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from node.provider.frames import (
    BlockParser,
    Flag,
    Frame,
    FrameParser,
    Http2Error,
    Kind,
    TooLargeError,
    parse_settings,
    print_block,
    print_fields,
    print_frame,
    print_no_table,
    print_request,
)

names = st.from_regex(rb"[a-z0-9-]{1,20}", fullmatch=True)
values = st.binary(max_size=400).map(lambda data: data.hex().encode())
fields = st.lists(st.tuples(names, values), max_size=10)
frames = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**31 - 1),
    st.binary(max_size=300),
)


@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 50), max_size=60))
def test_frames_are_the_same_however_they_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(
        len(f.payload).to_bytes(3, "big") + bytes((f.kind, f.flags)) + f.stream.to_bytes(4, "big")
        + f.payload
        for f in sent
    )  # fmt: skip
    parser, found = FrameParser(300), []
    for size in cuts:
        found += parser.feed(data[:size])
        data = data[size:]
    assert found + parser.feed(data) == sent


@given(fields)
def test_a_printed_block_says_what_was_meant(sent: list[tuple[bytes, bytes]]) -> None:
    block = print_no_table() + print_request("https", "a:1", "/t.T/" + "x" * 200)
    got = [(bytes(k), bytes(v)) for k, v in Decoder().decode(block + print_fields(sent), raw=True)]
    head = [
        (b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/t.T/" + b"x" * 200),
        (b":authority", b"a:1"), (b"content-type", b"application/grpc"), (b"te", b"trailers"),
    ]  # fmt: skip
    assert got == [*head, *sent]


@given(fields, st.booleans())
def test_a_peers_block_is_understood(sent: list[tuple[bytes, bytes]], huffman: bool) -> None:
    encoder, parser = Encoder(), BlockParser(1 << 20)
    encoder.header_table_size = 0
    alone = [parser.alone]
    for _ in range(2):
        assert list(parser.parse(encoder.encode(sent, huffman=huffman))) == sent
        alone.append(parser.alone)
    assert alone == [False, True, True]


@given(st.binary(max_size=200))
def test_nonsense_is_no_header_block(data: bytes) -> None:
    with contextlib.suppress(Http2Error, TooLargeError):
        BlockParser(1000).parse(data)


@given(st.binary(max_size=60))
def test_settings_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Http2Error):
        parse_settings(data)


def test_a_block_over_the_limit_is_too_large() -> None:
    parser = BlockParser(100)
    with pytest.raises(TooLargeError):
        parser.parse(print_no_table() + print_fields([(b"a", b"x" * 100)]))
    assert list(parser.parse(print_fields([(b"a", b"x")]))) == [(b"a", b"x")]


def test_a_long_block_is_cut_into_frames() -> None:
    printed = print_block(3, bytes(250), 100, Flag.END_STREAM)
    assert printed == (
        print_frame(Kind.HEADERS, Flag.END_STREAM, 3, bytes(100))
        + print_frame(Kind.CONTINUATION, 0, 3, bytes(100))
        + print_frame(Kind.CONTINUATION, Flag.END_HEADERS, 3, bytes(50))
    )


@pytest.mark.parametrize("size", [0, 126, 127, 128, 254, 255, 300, 382, 383, 16_510, 16_511])
def test_lengths_at_the_bounds_of_their_spelling(size: int) -> None:
    sent = [(b"a", b"x" * size)]
    assert [tuple(pair) for pair in Decoder().decode(print_fields(sent), raw=True)] == sent
