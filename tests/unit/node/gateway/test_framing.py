import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.calls import Message
from node.gateway.framing import (
    MessageParser,
    Status,
    is_grpc,
    is_metadata,
    parse_metadata,
    parse_status,
    parse_status_message,
    parse_timeout,
    print_message,
    print_metadata,
    print_status_message,
    print_timeout,
    status_of_http,
)
from security.errors import Code, SimpulError

LIMIT = 1000
HOP = "from the app"

messages = st.lists(
    st.builds(Message, st.binary(max_size=60), st.booleans()), min_size=0, max_size=6
)
keys = st.from_regex(r"[a-z0-9_.-]{1,20}", fullmatch=True).filter(
    lambda key: not key.endswith("-bin") and is_metadata(key)
)
texts = st.from_regex(rb"[\x20-\x7e]{0,30}", fullmatch=True)
metadata = st.lists(
    st.one_of(
        st.tuples(keys, texts),
        st.tuples(keys.map(lambda key: key + "-bin"), st.binary(max_size=40)).filter(
            lambda item: is_metadata(item[0])
        ),
    ),
    max_size=8,
).map(tuple)


def parsed(headers: list[tuple[bytes, bytes]], limit: int = 100_000) -> object:
    return parse_metadata(headers, limit, HOP)


def code_of(call: object) -> Code:
    with pytest.raises(SimpulError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


# Messages.


@given(messages, st.lists(st.integers(1, 40), max_size=20))
def test_messages_survive_any_cut(sent: list[Message], cuts: list[int]) -> None:
    body = b"".join(map(print_message, sent))
    parser, got, at = MessageParser(LIMIT, HOP), [], 0
    for size in [*cuts, len(body)]:
        got += parser.feed(body[at : at + size])
        at += size
    parser.end()
    assert got == sent


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=10))
def test_any_bytes_are_messages_or_a_refusal(data: bytes, cuts: list[int]) -> None:
    parser, got, at = MessageParser(50, HOP), [], 0
    try:
        for size in [*cuts, len(data)]:
            got += parser.feed(data[at : at + size])
            at += size
        parser.end()
    except SimpulError as error:
        refused = {Code.REQUEST_MALFORMED, Code.MESSAGE_TOO_LARGE}
        assert error.code in refused  # noqa: PT017 - either end is right
    else:
        assert b"".join(map(print_message, got)) == data


def test_a_large_message_is_refused_before_it_is_read() -> None:
    parser = MessageParser(LIMIT, HOP)
    assert parser.feed(print_message(Message(b"x" * LIMIT))) == [Message(b"x" * LIMIT)]
    with pytest.raises(
        SimpulError, match="from the app has 1001 bytes, and the limit is 1000"
    ) as e:
        parser.feed(b"\0\0\0\3\xe9")
    assert e.value.code is Code.MESSAGE_TOO_LARGE


def test_an_empty_message_is_a_message() -> None:
    parser = MessageParser(LIMIT, HOP)
    assert parser.feed(b"\0\0\0\0\0\1\0\0\0\0") == [Message(b""), Message(b"", compressed=True)]
    parser.end()


@pytest.mark.parametrize("flag", [2, 3, 128, 255])
def test_a_bad_flag_is_refused(flag: int) -> None:
    parser = MessageParser(LIMIT, HOP)
    assert code_of(lambda: parser.feed(bytes([flag, 0, 0, 0, 0]))) is Code.REQUEST_MALFORMED


@pytest.mark.parametrize("size", [1, 4, 5, 7])
def test_a_cut_message_is_refused(size: int) -> None:
    parser = MessageParser(LIMIT, HOP)
    parser.feed(print_message(Message(b"abc"))[:size])
    assert code_of(parser.end) is Code.REQUEST_MALFORMED


# Timeouts.


@pytest.mark.parametrize(
    ("text", "timeout_ms"),
    [
        (b"1H", 3_600_000), (b"2M", 120_000), (b"3S", 3000), (b"4m", 4), (b"1u", 1), (b"1001u", 2),
        (b"1n", 1), (b"1000000n", 1), (b"1000001n", 2), (b"0n", 0), (b"99999999S", 99_999_999_000),
        (b"007m", 7),
    ],
)  # fmt: skip
def test_timeouts_are_read_in_every_unit(text: bytes, timeout_ms: int) -> None:
    assert parse_timeout(text) == timeout_ms


@pytest.mark.parametrize(
    "text",
    [
        b"", b"1", b"S", b"123456789S", b"-1S", b"+1S", b"1 S", b" 1S", b"1S\n", b"1s", b"1.5S",
        b"\xd9\xa1S",
    ],
)  # fmt: skip
def test_other_timeouts_are_refused(text: bytes) -> None:
    assert code_of(lambda: parse_timeout(text)) is Code.REQUEST_MALFORMED


@given(st.integers(-5, 10**13))
def test_a_timeout_is_never_shortened_nor_much_longer(timeout_ms: int) -> None:
    printed = print_timeout(timeout_ms)
    assert len(printed) <= 9
    back = parse_timeout(printed.encode())
    assert timeout_ms <= back <= max(1, timeout_ms * 1.001)


def test_a_timeout_beyond_the_grammar_is_the_longest() -> None:
    assert print_timeout(10**20) == "99999999H"


# Statuses.


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_status_message_survives(text: str) -> None:
    printed = print_status_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in printed)
    assert parse_status_message(printed) == text


@given(st.text())
def test_any_status_message_is_printed(text: str) -> None:
    assert print_status_message(text).isascii()


@given(st.binary())
def test_any_status_message_is_read(value: bytes) -> None:
    parse_status_message(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"50%", "50%"), (b"%zz%41", "%zzA"), (b"%4", "%4"), (b"%C3%A9", "é"), (b"%c3%a9", "é"),
     (b"%ff", "\ufffd"), (b"a b", "a b")],
)  # fmt: skip
def test_a_bad_escape_is_kept(value: bytes, text: str) -> None:
    assert parse_status_message(value) == text


def test_the_specifications_own_alphabet() -> None:
    assert print_status_message("a%é\n~\x7f") == b"a%25%C3%A9%0A~%7F"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], None),
        ([(b"grpc-message", b"x")], None),
        ([(b"grpc-status", b"0")], Status(0, "")),
        ([(b"grpc-message", b"%C3%A9"), (b"grpc-status", b"16")], Status(16, "é")),
        ([(b"grpc-status", b"17")], Status(2, "grpc-status '17' is no gRPC status")),
        ([(b"grpc-status", b"-1"), (b"grpc-message", b"m")],
         Status(2, "grpc-status '-1' is no gRPC status: m")),
        ([(b"grpc-status", b"")], Status(2, "grpc-status '' is no gRPC status")),
        ([(b"grpc-status", b"\xff")], Status(2, "grpc-status '\\\\xff' is no gRPC status")),
    ],
)  # fmt: skip
def test_statuses(headers: list[tuple[bytes, bytes]], status: Status | None) -> None:
    assert parse_status(headers) == status


def test_http_statuses_map_as_the_specification_says() -> None:
    table = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 200: 2, 500: 2}
    assert {status: status_of_http(status) for status in table} == table


@pytest.mark.parametrize(
    ("content_type", "yes"),
    [(b"application/grpc", True), (b"application/grpc+proto", True),
     (b"application/grpc;v=1", True), (b"application/grpc-web", False), (b"text/html", False),
     (b"", False)],
)  # fmt: skip
def test_content_types(content_type: bytes, yes: bool) -> None:
    assert is_grpc(content_type) is yes


# Metadata.


@given(metadata)
def test_metadata_survives(given_: tuple[tuple[str, bytes], ...]) -> None:
    assert parsed(print_metadata(given_)) == given_


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=6))
def test_any_headers_are_metadata_or_a_refusal(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        found = parse_metadata(headers, 200, HOP)
    except SimpulError as error:
        refused = {Code.METADATA_MALFORMED, Code.METADATA_TOO_LARGE}
        assert error.code in refused  # noqa: PT017 - either end is right
    else:
        assert parsed(print_metadata(found)) == found


@pytest.mark.parametrize(
    "key",
    [":path", ":status", "te", "content-type", "content-length", "host", "connection",
     "transfer-encoding", "keep-alive", "upgrade", "grpc-timeout", "grpc-status", "grpc-message",
     "grpc-message-type", "grpc-previous-rpc-attempts", "grpc-retry-pushback-ms", "grpc-foo",
     "x-forwarded-client-cert"],
)  # fmt: skip
def test_what_belongs_to_a_hop_is_dropped_both_ways(key: str) -> None:
    assert parsed([(key.encode(), b"\xff")]) == ()
    assert print_metadata(((key, b"x"),)) == []


@pytest.mark.parametrize(
    "key", ["grpc-encoding", "grpc-accept-encoding", "user-agent", "authorization", "cookie",
            "simpul-to", "simpul-anything", "x.y_z-0"],
)  # fmt: skip
def test_what_is_carried(key: str) -> None:
    assert parsed([(key.encode(), b"gzip")]) == ((key, b"gzip"),)
    assert print_metadata(((key, b"gzip"),)) == [(key.encode(), b"gzip")]


@given(st.binary(max_size=20))
def test_base64_with_and_without_padding(value: bytes) -> None:
    padded = base64.b64encode(value)
    assert parsed([(b"k-bin", padded)]) == parsed([(b"k-bin", padded.rstrip(b"="))])
    assert parsed([(b"k-bin", padded)]) == (("k-bin", value),)
    assert print_metadata((("k-bin", value),)) == [(b"k-bin", padded.rstrip(b"="))]


def test_joined_binary_values_are_split_and_joined_texts_are_not() -> None:
    got = parsed([(b"k-bin", b"AAE,AgM=, /w"), (b"k", b"a,b")])
    assert got == (("k-bin", b"\0\1"), ("k-bin", b"\2\3"), ("k-bin", b"\xff"), ("k", b"a,b"))


@pytest.mark.parametrize("value", [b"A", b"!!!!", b"AA-_", b"AA\n", b"\xff"])
def test_other_base64_is_refused(value: bytes) -> None:
    assert code_of(lambda: parsed([(b"k-bin", value)])) is Code.METADATA_MALFORMED


@pytest.mark.parametrize(
    ("key", "value"), [(b"X-Up", b"1"), (b"", b"1"), (b"a b", b"1"), (b"k", b"\t"), (b"k", b"\xe9")]
)
def test_malformed_metadata_is_refused(key: bytes, value: bytes) -> None:
    assert code_of(lambda: parsed([(key, value)])) is Code.METADATA_MALFORMED


def test_the_size_of_all_headers_counts() -> None:
    header = (b"key", b"value")
    assert parsed([header], 40) == (("key", b"value"),)
    with pytest.raises(
        SimpulError, match="from the app has 40 bytes, and the limit is 39"
    ) as caught:
        parsed([header], 39)
    assert caught.value.code is Code.METADATA_TOO_LARGE
