"""Logs: JSON lines on stderr, or a console form on a terminal, with call id and peer.

It decides the form and nothing else: rooms call `structlog.get_logger()` and name events. Messages
of the standard library's `logging`, as grpc and others write them, leave in the same form.

Rules: one event, one line; times are UTC; a traceback holds no local variables, because these hold
keys; what `runtime.redaction` knows for a secret never leaves. `configure` is called once, by the
program that starts: logging is the one thing that is global in Python anyway.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime.clock import now_ms
from runtime.redaction import redact

_GRPC = "grpc._cython.cygrpc"
_STATUS_NOT_SENT = "ExecuteBatchError raised in core by servicer method"

Form = Literal["auto", "json", "console"]
Level = Literal["debug", "info", "warning", "error"]


def configure(
    program: str,
    *,
    level: Level = "info",
    form: Form = "auto",
    stream: TextIO | None = None,
) -> None:
    """Sets up structlog and `logging` for this process. Called again, it replaces what was.

    Args:
        program: In every line: `node`, `registry`, `node-worker-1`.
        level: The least that is written.
        form: `auto` is `console` where the stream is a terminal, and otherwise `json`.
        stream: None is stderr.
    """
    # What grpc's C core prints of connections that end is no JSON, and links say it themselves.
    # It is read when the first channel or server is made.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    out = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _Program(program),
        _stamp,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        # Plain text: the renderers that show local variables would show keys.
        structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A logger that is cached before `configure` would keep the old form.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(console=console, colors=out.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # It tells each of its plugins and steps, at every first start.
    logging.getLogger("alembic").setLevel("WARNING")
    logging.getLogger(_GRPC).addFilter(_nobody_left_to_tell)


@contextmanager
def bind(*, call_id: str | None = None, peer: str | None = None) -> Iterator[None]:
    """Puts `call_id` and `peer` into every line of this task and its children, until the end."""
    given = {"call_id": call_id, "peer": peer}
    with structlog.contextvars.bound_contextvars(
        **{name: value for name, value in given.items() if value is not None}
    ):
        yield


def _renderer(*, console: bool, colors: bool) -> Processor:
    if console:
        return structlog.dev.ConsoleRenderer(
            colors=colors,
            timestamp_key="at",
            exception_formatter=structlog.dev.plain_traceback,
        )
    return structlog.processors.JSONRenderer(sort_keys=False, default=str)


def _nobody_left_to_tell(record: logging.LogRecord) -> bool:
    """A peer that cancelled gets no status: grpcio makes an error and a traceback of that."""
    return not record.getMessage().startswith(_STATUS_NOT_SENT)


class _Program:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["program"] = self._name
        return event


def _stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    at = datetime.fromtimestamp(now_ms() / 1000, tz=UTC)
    event["at"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        # structlog's own entries carry the record itself and are taken out before rendering.
        key: value if key.startswith("_") else redact(value, key)
        for key, value in event.items()
    }
