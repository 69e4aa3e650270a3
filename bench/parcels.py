"""What an entry costs: microseconds to build and to verify, by entries in a parcel.

    .venv/bin/python bench/parcels.py [--rounds N] [--algorithm ED25519]

Building: commitments, private block, entry, tree, header and one seal for the parcel. Verifying:
from the parcel's bytes through all twelve steps of the receiver. Each entry is an open with 1 KiB
of message and ordinary metadata. The best of the rounds is shown: the machine is not alone.
"""

import argparse
import gc
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "protos")]

from dataclasses import replace  # noqa: E402

from security.identifiers import MemberId, NodeId  # noqa: E402
from security.keys import Algorithm, PrivateKey, generate  # noqa: E402
from security.limits import Limits  # noqa: E402
from security.parcel import to_wire  # noqa: E402
from security.private import Private, make_private  # noqa: E402
from security.receiver import Receiver  # noqa: E402
from security.seal import make_seals  # noqa: E402
from security.sender import LinkContext, Sender  # noqa: E402
from tests.conformance.fixed import NOW_MS  # noqa: E402
from tests.unit.security.wire import (  # noqa: E402
    BAJO,
    CONSUMER_NODE,
    DIRECTORY_HASH,
    KOMDIGI,
    OPEN,
    PROVIDER_NODE,
    directory,
    record,
    records,
    statement,
)

BATCHES = (1, 8, 64, 256)
PRIVATE = Private(
    metadata=(
        ("user-agent", b"grpc-python/1.83.2"),
        ("accept-language", b"id"),
        ("x-request-id", b"3f0c2a1e"),
    ),
    user="3201010101010001",
)
PAYLOAD = os.urandom(1024)


def context(me: NodeId, peer: NodeId, hosted: MemberId) -> LinkContext:
    """One side of a link with all the credit there can be."""
    most = 2**40
    return LinkContext("ID", me, peer, bytes(32), frozenset({hosted}), Limits(), most, most)


def build(sender: Sender, key: PrivateKey, call_ids: list[bytes]) -> bytes:
    """Make one parcel of opens: its bytes as sent."""
    entries = [
        sender.add(OPEN, call_id, os.urandom(48), payload=PAYLOAD, private=make_private(PRIVATE))
        for call_id in call_ids
    ]
    parcel = sender.prepare(
        entries,
        member=KOMDIGI,
        seal_key_id=key.public.key_id,
        directory_hash=DIRECTORY_HASH,
        now_ms=NOW_MS,
    )
    [seal] = make_seals(key, [parcel.header_hash])
    return to_wire(parcel.header, seal, parcel.entries).SerializeToString()


def new_call_ids(count: int) -> list[bytes]:
    """UUIDv7s, all of one time."""
    return [bytes(6) + b"\x70\x00\x80" + os.urandom(7) for _ in range(count)]


def measure(batch: int, rounds: int, key: PrivateKey) -> tuple[float, float]:
    """Microseconds an entry, to build and to verify: the best of the rounds."""
    listed = replace(statement(KOMDIGI).seal_keys[0], key=key.public)
    consumer = record(statement(KOMDIGI, seal_keys=(listed,)), [CONSUMER_NODE])
    view = directory({**records(), KOMDIGI: consumer})
    parcels = max(1, 256 // batch)
    built, verified = [], []
    for _ in range(rounds):
        sender = Sender(context(CONSUMER_NODE, PROVIDER_NODE, KOMDIGI))
        receiver = Receiver(Sender(context(PROVIDER_NODE, CONSUMER_NODE, BAJO)))
        batches = [new_call_ids(batch) for _ in range(parcels)]
        start = time.perf_counter_ns()
        made = [build(sender, key, call_ids) for call_ids in batches]
        middle = time.perf_counter_ns()
        for data in made:
            receiver.accept(data, now_ms=NOW_MS, directory=view)
        end = time.perf_counter_ns()
        built.append((middle - start) / 1000 / parcels / batch)
        verified.append((end - middle) / 1000 / parcels / batch)
        gc.collect()
    return min(built), min(verified)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--algorithm", choices=[item.name for item in Algorithm], default="ED25519")
    options = parser.parse_args()
    key = generate(Algorithm[options.algorithm])
    print(f"us per entry, {options.algorithm}, best of {options.rounds} rounds")
    print(f"{'entries':>8} {'build':>8} {'verify':>8}")
    for batch in BATCHES:
        built, verified = measure(batch, options.rounds, key)
        print(f"{batch:>8} {built:>8.1f} {verified:>8.1f}")


if __name__ == "__main__":
    main()
