import io
import json
import logging
import os
import re
from collections.abc import Iterator

import pytest
import structlog

from runtime import log


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    verbosity = os.environ.pop("GRPC_VERBOSITY", None)
    yield
    os.environ.pop("GRPC_VERBOSITY", None)
    if verbosity is not None:
        os.environ["GRPC_VERBOSITY"] = verbosity
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_time_program_and_level() -> None:
    out = io.StringIO()
    log.configure("node", stream=out)
    structlog.get_logger("node.link").info("link opened", number=3, key=b"\x01")
    (line,) = lines(out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("at")))
    assert line == {
        "event": "link opened",
        "level": "info",
        "logger": "node.link",
        "program": "node",
        "number": 3,
        "key": "01",
    }


def test_call_and_peer_are_in_every_line_until_the_end_of_the_block() -> None:
    out = io.StringIO()
    log.configure("node", stream=out)
    with log.bind(peer="ID/~b"), log.bind(call_id="0190"):
        structlog.get_logger().info("inside")
        logging.getLogger("grpc").warning("also %s", "inside")
    structlog.get_logger().info("outside")
    first, second, third = lines(out)
    assert (first["peer"], first["call_id"]) == ("ID/~b", "0190")
    assert (second["peer"], second["call_id"]) == ("ID/~b", "0190")
    assert not {"peer", "call_id"} & third.keys()


def test_what_libraries_log_leaves_in_the_same_form() -> None:
    out = io.StringIO()
    log.configure("registry", stream=out)
    logging.getLogger("grpc._cython").error("it %s", "broke")
    (line,) = lines(out)
    assert line["event"] == "it broke"
    assert line["logger"] == "grpc._cython"
    assert line["program"] == "registry"


def test_secrets_do_not_leave() -> None:
    out = io.StringIO()
    log.configure("node", stream=out)
    structlog.get_logger().info("app added", token="t0p", nested={"password": "hunter2"})
    logging.getLogger("lib").info("key: -----BEGIN EC PRIVATE KEY-----")
    logging.getLogger("lib").info("%s", "fine", extra={"token": "t0p"})
    text = out.getvalue()
    assert "t0p" not in text
    assert "hunter2" not in text
    assert "BEGIN EC" not in text
    assert text.count("[redacted]") == 3


def test_a_traceback_is_in_the_line_and_holds_no_local_variables() -> None:
    out = io.StringIO()
    log.configure("node", stream=out)

    def fails(local: str) -> None:
        raise ValueError(len(local))

    try:
        fails("a-local-" + "secret")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("lib").exception("failed too")
    for line in lines(out):
        assert "ValueError: 14" in str(line["exception"])
    assert "a-local-secret" not in out.getvalue()


def test_below_the_level_nothing_is_written() -> None:
    out = io.StringIO()
    log.configure("node", level="warning", stream=out)
    structlog.get_logger().info("no")
    logging.getLogger("lib").info("no")
    assert out.getvalue() == ""


def test_configured_twice_an_event_is_written_once() -> None:
    out = io.StringIO()
    log.configure("node", stream=out)
    log.configure("node", stream=out)
    structlog.get_logger().info("once")
    assert len(lines(out)) == 1


def test_a_terminal_gets_the_console_form() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    log.configure("node", stream=out)
    structlog.get_logger().info("link opened", peer="ID/~b")
    try:
        raise ValueError("no")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "link opened" in out.getvalue()
    assert "ValueError: no" in out.getvalue()
    with pytest.raises(json.JSONDecodeError):
        lines(out)


def test_the_form_can_be_chosen() -> None:
    out = io.StringIO()
    log.configure("node", form="console", stream=out)
    structlog.get_logger().info("link opened", peer="ID/~b")
    assert "peer=ID/~b" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_the_c_core_of_grpc_is_quiet_unless_an_operator_wants_it() -> None:
    log.configure("node", stream=io.StringIO())
    assert os.environ["GRPC_VERBOSITY"] == "NONE"
    os.environ["GRPC_VERBOSITY"] = "DEBUG"
    log.configure("node", stream=io.StringIO())
    assert os.environ["GRPC_VERBOSITY"] == "DEBUG"


def test_that_nobody_was_left_to_tell_is_no_error() -> None:
    out = io.StringIO()
    log.configure("node", stream=out)
    core = logging.getLogger("grpc._cython.cygrpc")
    core.error("ExecuteBatchError raised in core by servicer method [/%s]", "simpul.v1.Exchange/L")
    core.error("another fault of the core")
    (line,) = lines(out)
    assert line["event"] == "another fault of the core"
