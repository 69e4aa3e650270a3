"""The demo's processes: started, waited for, and ended, whatever happens.

Rules: every process is the leader of a session of its own, so that a terminal's Ctrl-C reaches the
demo alone, which then stops them in order; each writes to a log of its own; they are stopped by
their ids; and where the demo is killed without a chance to stop them, `keeper` does.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from cli.demo import keeper
from security.errors import Code, SimpulError

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
LOOK_EVERY_S: Final = 0.02
CHECKPOINT_VARIABLE: Final = "SIMPUL_NODE__JOURNAL__CHECKPOINT_S"
CHECKPOINT_S: Final = "2"
ERROR: Final = "simpul: "

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, eq=False)
class Child:
    """One process; `log` has all that it writes."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def runs(self) -> bool:
        """It has not ended yet."""
        return self.process.returncode is None

    async def until(self, look: Callable[[], Found | None]) -> Found:
        """Waits until `look` finds what shows that the process is up.

        Raises:
            SimpulError: NOT_RUNNING, when it ends before that, or takes too long.
        """
        deadline_s = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while True:
            found = look()
            if found is not None:
                return found
            if not self.runs:
                raise self._failed(f"ended with status {self.process.returncode}")
            if asyncio.get_running_loop().time() > deadline_s:
                raise self._failed(f"is not up after {START_TIMEOUT_S:g} s")
            await asyncio.sleep(LOOK_EVERY_S)

    async def stop(self) -> None:
        """Asks it to end; kills its group where it does not."""
        if not self.runs:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self.process.wait()

    def _failed(self, how: str) -> SimpulError:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        # A command's own error has an action below it.
        errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
        said = (errors or lines or ["it said nothing"])[-1]
        return SimpulError(Code.NOT_RUNNING, f"{self.name} {how}: {said} (log: {self.log})")


class Children:
    """All processes of one demo. A context manager: at its end none is left."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, Child] = {}
        self._last: set[str] = set()
        self._waiters: set[asyncio.Task[None]] = set()
        self._keeper: subprocess.Popen[str] | None = None
        # Told of each process that ends without having been asked to.
        self.on_end: Callable[[Child], None] = lambda _: None
        self._stopping: set[Child] = set()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._keeper = await asyncio.to_thread(_start_keeper)
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not leave anything behind.
        await asyncio.shield(self._end())

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    async def start(self, name: str, arguments: Sequence[str], *, last: bool = False) -> Child:
        """Starts a process; its output goes to `logs/NAME.log`. `last`: others end before it."""
        file = self._logs / f"{name}.log"
        with file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        child = Child(name, process, file)
        self._tell_keeper(f"+{process.pid}")
        self._children[name] = child
        if last:
            self._last.add(name)
        waiter = asyncio.create_task(self._wait(child))
        self._waiters.add(waiter)
        waiter.add_done_callback(self._waiters.discard)
        return child

    async def stop(self, names: Iterable[str]) -> None:
        """Stops some, side by side."""
        chosen = [self._children[name] for name in names]
        self._stopping.update(chosen)
        await asyncio.gather(*(child.stop() for child in chosen))

    async def _wait(self, child: Child) -> None:
        await child.process.wait()
        self._tell_keeper(f"-{child.pid}")
        if child not in self._stopping:
            self.on_end(child)

    async def _end(self) -> None:
        await self.stop(self._children.keys() - self._last)
        await self.stop(self._last)
        await asyncio.gather(*self._waiters)
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            await asyncio.to_thread(self._keeper.wait)

    def _tell_keeper(self, line: str) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                self._keeper.stdin.write(line + "\n")
                self._keeper.stdin.flush()


def read_json(file: Path) -> dict[str, object] | None:
    """The document in a file that is written as a whole; None where there is none yet."""
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    return found if isinstance(found, dict) else None


def _start_keeper() -> "subprocess.Popen[str]":
    return subprocess.Popen(  # (it lives as long as the `Children`)
        [sys.executable, "-I", "-S", keeper.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """This process's own, without what names one home; checkpoints soon, for evidence of calls."""
    own = {name: value for name, value in os.environ.items() if name != "SIMPUL_HOME"}
    return {CHECKPOINT_VARIABLE: CHECKPOINT_S, **own}
