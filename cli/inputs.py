"""What `simpul call -d` names, as a stream of JSON values.

    -d JSON     the values themselves, one after the other
    -d @FILE    the same, from a file
    -d -        from stdin: for a streamed request one value a line, each as soon as it arrives;
                otherwise all of it

For a streamed request one value that is a list stands for its items. It knows no contract: values
are checked against it where they are encoded.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from cli.dynamic import parse_values
from cli.options import STDIN
from cli.output import refusal
from security.errors import Code

FILE_MARK = "@"
# Lines read ahead of what the call has taken.
QUEUE_LINES = 64


def needs_stdin(data: str | None) -> bool:
    """Whether `-d -` was given."""
    return data == STDIN


async def read_values(data: str | None, *, streaming: bool) -> AsyncIterator[object]:
    """The request's JSON values.

    Args:
        data: What was given with `-d`; None: an empty message, or an empty stream.
        streaming: Whether the method takes a stream of messages.

    Raises:
        SimpulError: REQUEST_MALFORMED, when it is no JSON, the file can't be read, or there isn't
            just one value where one is wanted.
    """
    if data is None:
        if not streaming:
            yield {}
        return
    if not streaming:
        yield _only(list(parse_values(await _all_text(data))))
        return
    if needs_stdin(data):
        async for line in _stdin_lines():
            for value in parse_values(line):
                yield value
        return
    for value in _items(list(parse_values(await _all_text(data)))):
        yield value


async def _all_text(data: str) -> str:
    if needs_stdin(data):
        return "".join([line async for line in _stdin_lines()])
    if not data.startswith(FILE_MARK):
        return data
    path = Path(data.removeprefix(FILE_MARK))
    try:
        return await asyncio.to_thread(path.read_text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8 text"
        if isinstance(error, OSError):
            why = error.strerror or str(error)
        raise refusal(
            Code.REQUEST_MALFORMED, f"{path} can't be read ({why}): give a file as -d @FILE"
        ) from error


def _only(values: list[object]) -> object:
    if len(values) == 1:
        return values[0]
    given = f"{len(values)} were given" if values else "none was given"
    raise refusal(Code.REQUEST_MALFORMED, f"this method takes one message, and {given}")


def _items(values: list[object]) -> Iterable[object]:
    if len(values) == 1 and isinstance(values[0], list):
        return values[0]
    return values


async def _stdin_lines() -> AsyncIterator[str]:
    """Lines as they are typed or piped.

    A daemon thread reads them: a terminal has no end, so nothing may wait for the thread when the
    call is over.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue(QUEUE_LINES)

    def put(line: str | None) -> None:
        # Waits while the queue is full, so that a large input is not read into memory.
        asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()

    def read() -> None:
        # RuntimeError: the loop is closed, the call is over, and nobody wants the rest.
        with contextlib.suppress(RuntimeError):
            for line in _raw_lines():
                put(line)
            put(None)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line


def _raw_lines() -> Iterator[str]:
    """Without stdin's own buffer, whose lock would hold up the end of the program."""
    try:
        file_number = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        # No real file: a program that runs the command inside itself.
        yield from sys.stdin
        return
    with open(file_number, "rb", buffering=0, closefd=False) as stdin:
        rest = b""
        while chunk := stdin.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode("utf-8", "replace") + "\n" for line in lines)
        if rest:
            yield rest.decode("utf-8", "replace")
