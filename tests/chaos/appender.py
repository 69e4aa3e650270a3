"""Starts `child.py` on a journal, and hears what it says. Only ever ends what it started."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from node.journal.place import Place
from tests.chaos.checker import Told

CHILD = Path(__file__).with_name("child.py")
WAIT_S = 30.0


class Appender:
    """A running child."""

    def __init__(self, place: Place, run: int, told: Told, *options: str, **env: str) -> None:
        self._told = told
        self._child = subprocess.Popen(
            [sys.executable, CHILD, str(place), str(run), *options],
            stdout=subprocess.PIPE,
            env={**_ENVIRONMENT, "PYTHONPATH": ":".join(sys.path), **env},
        )
        self._heard = threading.Thread(target=self._hear)
        self._heard.start()

    def _hear(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            # The last line may be cut.
            if line.endswith(b"\n"):
                self._told.hear([line])

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Wait until what was told makes `what` true."""
        until = time.monotonic() + WAIT_S
        while not what():
            assert time.monotonic() < until, f"it never came; it ended with {self._told.ended!r}"
            time.sleep(0.005)

    def wait_for_calls(self, more: int) -> None:
        """Wait until so many more calls are acknowledged."""
        wanted = len(self._told.acknowledged) + more
        self.wait_for(lambda: len(self._told.acknowledged) >= wanted)

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def end(self) -> int:
        """Wait until it ended by itself; returns its exit code."""
        code = self._child.wait(WAIT_S)
        self._heard.join(WAIT_S)
        return code

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._child.kill()
        self._child.wait(WAIT_S)
        self._heard.join(WAIT_S)
        assert self._child.stdout is not None
        self._child.stdout.close()


@contextlib.contextmanager
def appender(place: Place, run: int, told: Told, *options: str, **env: str) -> Iterator[Appender]:
    """A child that has the slot and appends; killed at the end, if it still runs."""
    opened = told.opened
    made = Appender(place, run, told, *options, **env)
    try:
        made.wait_for(lambda: told.opened > opened)
        yield made
    finally:
        made.kill()


_ENVIRONMENT = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
