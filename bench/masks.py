"""What a field mask costs: forwarding with one, as a ratio to forwarding without, in one run.

    python -m bench.masks [--rounds N] [--calls N]

Two nodes' exchanges in one process, with real links over TLS, seals and verification between them;
apps, service and journal are in memory, so that what is compared is the forwarding alone: a whole
node does more for each call, and a mask weighs less there. Answers are masked at the provider's
node, requests at both. Each case is measured without and with a mask in turn, round by round, in
processor time, and the median of the rounds' ratios is shown. Exit code 1 where it is over 2.

The mask names every field, so that what it drops saves nothing elsewhere. The messages have 1 or
16 KiB, in two long fields or in short ones of eight bytes: a mask's work is by field.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from node.calls import HalfClose, Headers, Message, OutboundRequest, Trailers, UnaryAnswer
from security.agreement import FieldTerm
from security.directory_records import contract_path
from security.hashing import sha256
from security.identifiers import MemberId
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.pair import FakeCall, Half, Pair, ServiceSide, pair, unary

MOST: Final = 2.0
AT_ONCE: Final = 32
# Messages of one stream.
STREAMED: Final = 50
KIB: Final = 1024
# Of `Island`, in the contract of tests/support/directories; here both are repeated.
NAME: Final = b"\x0a"
KEEPER: Final = b"\x12"
MASK: Final = FieldTerm(("Get/name", "Get/keeper", "List/name", "List/keeper"))
ALL: Final = FieldTerm(None)


@dataclass(frozen=True, slots=True)
class Case:
    """A message, and how it travels."""

    name: str
    message: bytes
    streamed: bool = False


def long_fields(size: int) -> bytes:
    """Two fields of half the size."""
    half = size // 2
    return b"".join(key + _length(half) + b"x" * half for key in (NAME, KEEPER))


def short_fields(size: int) -> bytes:
    """Fields of eight bytes, name and keeper in turn."""
    return (NAME + b"\x06Komodo" + KEEPER + b"\x06Wayan ") * (size // 16)


def _length(value: int) -> bytes:
    """A varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


CASES: Final = (
    Case("unary, 1 KiB, two long fields", long_fields(KIB)),
    Case("unary, 1 KiB, 128 short fields", short_fields(KIB)),
    Case("unary, 16 KiB, two long fields", long_fields(16 * KIB)),
    Case("unary, 16 KiB, 2048 short fields", short_fields(16 * KIB)),
    Case("stream, 1 KiB, two long fields", long_fields(KIB), streamed=True),
    Case("stream, 1 KiB, 128 short fields", short_fields(KIB), streamed=True),
)


def repeat_fields(half: Half) -> None:
    """Have a node go by a directory whose contract lets each field stand any number of times."""
    view = half.current.snapshot.directory
    file = directory_pb2.ContractRevision.FromString(directories.contract_file()[1])
    described = FileDescriptorSet.FromString(file.descriptor_set)
    for field in described.file[0].message_type[0].field:
        field.label = FieldDescriptorProto.LABEL_REPEATED
    file.descriptor_set = described.SerializeToString(deterministic=True)
    data = file.SerializeToString(deterministic=True)
    records = directories.regency_record(), directories.ministry_record()
    for record in records:
        member = view.members[MemberId.parse(record.member)]
        record.nodes[0].link_address = member.nodes[0].link_address
    records[0].services[0].contract = sha256(data)
    changed = {contract_path(fixed.SERVICE, file.descriptor_set): data}
    directory = directories.build(directories.targets(*records, changed=changed))
    half.current.replace(replace(half.current.snapshot, directory=directory))


async def measure(two: Pair, case: Case, calls: int, fields: FieldTerm) -> float:
    """Seconds of processor time for so many calls, `AT_ONCE` at once."""
    for half in (two.provider, two.consumer):
        half.agree("Get", "List", request_fields=fields, response_fields=fields)
    _answer(two, case)
    begin = _stream if case.streamed else _unary

    async def some(count: int) -> None:
        for _ in range(count):
            call = await two.consumer.run(begin(case))
            if call.trailers.status != 0:
                raise RuntimeError(f"a call failed: {call.trailers}")

    # Links and masks are made once.
    await some(4)
    began_s = time.process_time()
    await asyncio.gather(*(some(calls // AT_ONCE) for _ in range(AT_ONCE)))
    return time.process_time() - began_s


async def ratio(two: Pair, case: Case, rounds: int, calls: int) -> tuple[float, float, float]:
    """Microseconds for a call without and with a mask, and the median of the rounds' ratios."""
    plain, masked = [], []
    for _ in range(rounds):
        plain.append(await measure(two, case, calls, ALL))
        masked.append(await measure(two, case, calls, MASK))
        two.consumer.journal.records.clear()
        two.provider.journal.records.clear()
        two.provider.services.seen.clear()
        two.provider.services.sides.clear()
    each = 1e6 / (calls // AT_ONCE * AT_ONCE)
    found = statistics.median(with_ / without for without, with_ in zip(plain, masked, strict=True))
    return statistics.median(plain) * each, statistics.median(masked) * each, found


def _unary(case: Case) -> FakeCall:
    return unary(data=case.message)


def _stream(case: Case) -> FakeCall:
    return FakeCall("List", Message(case.message), HalfClose())


def _answer(two: Pair, case: Case) -> None:
    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        del request, message
        return UnaryAnswer((), Message(case.message), Trailers(0))

    async def stream(side: ServiceSide) -> None:
        await side.outgoing.put(Headers(()))
        for _ in range(STREAMED):
            await side.outgoing.put(Message(case.message))
        await side.outgoing.put(Trailers(0))

    two.provider.services.on_unary = answer
    two.provider.services.on_stream = stream


async def main(rounds: int, calls: int, say: Callable[[str], Any] = print) -> int:
    """Measure every case; returns the exit code."""
    say(f"{'':34}{'without':>12}{'with a mask':>14}{'ratio':>8}")
    worst = 0.0
    for case in CASES:
        async with pair() as two:
            for half in (two.provider, two.consumer):
                repeat_fields(half)
            count = calls // 10 if case.streamed else calls
            without, with_, found = await ratio(two, case, rounds, max(count, AT_ONCE))
        worst = max(worst, found)
        say(f"{case.name:34}{without:9.0f} us{with_:11.0f} us{found:8.2f}")
    say(f"the most that a mask may cost is {MOST:g} times; it costs {worst:.2f} times at most here")
    return 0 if worst <= MOST else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=640)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sys.exit(asyncio.run(main(given.rounds, given.calls)))
