"""A service in a process of its own that writes down which calls came to it.

    python -m tests.chaos.elsewhere HOST:PORT FILE

FILE has a line for each, written before it is answered: the call's id and the question.
"""

import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from tests.chaos.federation import Service, served


class WrittenDown:
    """What such a service saw, read in another process."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def served(self) -> list[tuple[str, str]]:
        pairs = (line.split() for line in self._file.read_text().splitlines())
        return [(call_id, question) for call_id, question in pairs]


class _Writing(Service):
    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self._file = file
        self._one = threading.Lock()

    def _note(self, context: Any, question: str) -> None:
        call_id = dict(context.invocation_metadata())["simpul-call-id"]
        with self._one:
            print(call_id, question, file=self._file, flush=True)


def main(listen: str, file: str) -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with Path(file).open("a") as written, served(listen, _Writing(written)):
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
