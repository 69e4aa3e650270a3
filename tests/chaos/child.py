"""A worker's journal under load, run as a program to be killed, stopped and starved.

    python child.py PLACE RUN [--lease-ms N] [--weak]

Says on its standard output, a line each:

    open SIZE ROOT        it has the slot; the tree as it found it
    ack CALL              the parcels of a call were acknowledged
    tree SIZE ROOT        the tree that it was told of
    full                  an append was refused, because there is no room
    end CODE              nothing more can be recorded; it exits with 3
    refused CODE          it couldn't take the slot; it exits with 2

`--weak` takes the sync away, as no node can: what a power cut loses then must be found.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from node.journal import sqlite_store
from node.journal.journal import Journal
from node.journal.place import Place, PostgresPlace
from runtime.clock import now_ms
from security.errors import Code, SimpulError
from tests.unit.node.journal.builder import Link, unary_call

AT_ONCE = 8
CALLS_PER_LINK = 1_000_000


def say(*words: object) -> None:
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


class Load:
    """Calls on links of their own, one after the other on each, for ever."""

    def __init__(self, journal: Journal, run: int) -> None:
        self._journal = journal
        self._run = run
        self._acknowledged = 0

    async def go(self, worker: int) -> None:
        call, links = 0, 0
        link = Link(f"run {self._run}, worker {worker}, link {links}")
        while self._journal.failure is None:
            number = (self._run * AT_ONCE + worker) * CALLS_PER_LINK + call
            call += 1
            try:
                await self._journal.append(unary_call(link, number))
            except SimpulError as error:
                if error.code is not Code.JOURNAL_FULL:
                    return
                say("full")
                await asyncio.sleep(0.02)
                links += 1
                link = Link(f"run {self._run}, worker {worker}, link {links}")
                continue
            say("ack", number)
            self._acknowledged += 1
            if self._acknowledged % 50 == 0:
                self.say_tree("tree")

    def say_tree(self, word: str) -> None:
        """One look: the writer goes on meanwhile."""
        head = self._journal._writer.head
        say(word, head.size, head.root().hex())


async def main(place: Place, run: int, lease_ms: int) -> int:
    holder = f"process {os.getpid()}"
    try:
        journal = await Journal.open(place, slot=0, holder=holder, clock=now_ms, lease_ms=lease_ms)
    except SimpulError as error:
        say("refused", error.code)
        return 2
    load = Load(journal, run)
    load.say_tree("open")
    workers = [asyncio.create_task(load.go(worker)) for worker in range(AT_ONCE)]
    say("end", (await journal.failed()).code)
    for worker in workers:
        worker.cancel()
    return 3


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("run", type=int)
    parser.add_argument("--lease-ms", type=int, default=10_000)
    parser.add_argument("--weak", action="store_true")
    given = parser.parse_args()
    if given.weak:
        sqlite_store.PRAGMAS = ("synchronous=OFF", *sqlite_store.PRAGMAS[1:])  # type: ignore[misc]
    where = PostgresPlace(given.place) if "://" in given.place else Path(given.place)
    # As a worker ends: at once, whatever threads there are.
    os._exit(asyncio.run(main(where, given.run, given.lease_ms)))
