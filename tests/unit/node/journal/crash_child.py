"""Appends until it's killed, and says of each call when it was acknowledged. Run as a program.

Prints `open SIZE` and then `CALL` for each call whose parcels are durable, one a line.
"""

import asyncio
import os
import sys
from pathlib import Path

from node.journal.journal import Journal
from tests.unit.node.journal.builder import NOW_MS, Link, unary_call

AT_ONCE = 8


async def append_for_ever(path: Path, run: int) -> None:
    journal = await Journal.open(
        path, slot=0, holder=f"process {os.getpid()}", clock=lambda: NOW_MS
    )
    say(f"open {journal.size}")

    async def calls(worker: int) -> None:
        # A link each: within one, parcels are appended in the order of their numbers.
        link = Link(f"run {run}, worker {worker}")
        call = 0
        while True:
            number = (run * AT_ONCE + worker) * 100_000 + call
            await journal.append(unary_call(link, number))
            say(f"{number}")
            call += 1

    await asyncio.gather(*(calls(worker) for worker in range(AT_ONCE)))


def say(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    asyncio.run(append_for_ever(Path(sys.argv[1]), int(sys.argv[2])))
