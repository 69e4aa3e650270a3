"""Ends the demo's processes when the demo itself was killed: a small program, run beside it.

It reads lines from its standard input: `+PID` for a process that was started, `-PID` for one that
has ended. When the input ends, the demo is gone, however it went; what is left then is asked to
stop, and after a while killed with its process group. Standard library only: it starts in
milliseconds.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_S = 15.0
LOOK_EVERY_S = 0.1


def main() -> None:
    """Wait for the end of the input, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The demo is told itself; this program ends after it.
        signal.signal(number, signal.SIG_IGN)
    left: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            left.add(pid)
        else:
            left.discard(pid)
    _end(left)


def _end(left: set[int]) -> None:
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline_s = time.monotonic() + GRACE_S
    while (left := {pid for pid in left if _lives(pid)}) and time.monotonic() < deadline_s:
        time.sleep(LOOK_EVERY_S)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
