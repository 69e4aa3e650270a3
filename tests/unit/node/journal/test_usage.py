from pathlib import Path

from node.journal.model import Role
from node.journal.usage import Traffic, UsageReader, Used
from tests.unit.node.journal.builder import (
    AGREEMENT,
    CONSUMER,
    NOW_MS,
    PROVIDER,
    SERVICE,
    Link,
    open_entry,
    refuse_entry,
    unary_call,
)
from tests.unit.node.journal.support import tamper, write


def test_usage_is_counted_for_each_side_since_a_time(path: Path) -> None:
    ours, theirs = Link("ours"), Link("theirs")
    write(
        path,
        unary_call(ours, 1),
        unary_call(ours, 2),
        [theirs.received(open_entry(3)), theirs.sent(refuse_entry(3))],
    )
    tamper(path, ("UPDATE calls SET opened_at_ms = ? + id", (NOW_MS,)))
    with UsageReader(path) as reader:
        since_two = reader.usage([AGREEMENT], NOW_MS + 2)
        of_all = reader.usage([AGREEMENT], 0)
        later = reader.usage([AGREEMENT], NOW_MS + 9)
        assert reader.usage([b"o" * 32], 0) == {}
    asked, served = (AGREEMENT, Role.CONSUMER), (AGREEMENT, Role.PROVIDER)
    assert set(of_all) == {asked, served}
    assert (of_all[asked].calls, of_all[asked].refused) == (2, 0)
    assert (of_all[served].calls, of_all[served].refused) == (1, 1)
    assert since_two[asked].calls == 1
    assert of_all[asked].request_bytes == 2 * since_two[asked].request_bytes > 0
    assert of_all[asked].response_bytes == 2 * since_two[asked].response_bytes > 0
    assert of_all[served].response_bytes == 0
    # When it was used last is known from all of it.
    assert later == {
        asked: Used(last_call_ms=NOW_MS + 2),
        served: Used(last_call_ms=NOW_MS + 3),
    }


def test_traffic_is_counted_by_service_and_side(path: Path) -> None:
    ours, theirs = Link("ours"), Link("theirs")
    write(
        path,
        unary_call(ours, 1),
        unary_call(ours, 2),
        [theirs.received(open_entry(3))],
        [theirs.received(open_entry(4)), theirs.sent(refuse_entry(4))],
    )
    tamper(path, ("UPDATE calls SET opened_at_ms = ? + id", (NOW_MS,)))
    key = (PROVIDER, SERVICE)
    with UsageReader(path) as reader:
        # What was refused is no use.
        assert reader.traffic([SERVICE], 0, 9, None) == ({key: Traffic(2, 1)}, False)
        assert reader.traffic([SERVICE], NOW_MS + 2, 9, None) == ({key: Traffic(1, 1)}, False)
        assert reader.traffic(["other.v1.X"], 0, 9, None) == ({}, False)
        # Whoever asks for its own calls hears of no others.
        assert reader.traffic([SERVICE], 0, 9, [CONSUMER]) == ({key: Traffic(2, 0)}, False)
        assert reader.traffic([SERVICE], 0, 9, [f"{CONSUMER}2"]) == ({}, False)
        assert reader.traffic([SERVICE], 0, 9, []) == ({}, False)
        assert reader.traffic([SERVICE], 0, 3, None)[1] is False
        assert reader.traffic([SERVICE], 0, 2, None)[1] is True
