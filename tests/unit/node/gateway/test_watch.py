"""What is turned away at the gateway is counted each time and logged once a minute."""

import structlog
from prometheus_client import CollectorRegistry

from node.gateway.watch import QUIET_S, Refused


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def made() -> tuple[Refused, CollectorRegistry, Clock]:
    registry, clock = CollectorRegistry(), Clock()
    return Refused(registry, clock), registry, clock


def count(registry: CollectorRegistry, reason: str) -> float | None:
    return registry.get_sample_value("simpul_gateway_refused_total", {"reason": reason})


def test_every_refusal_counts_and_the_log_hears_once_a_minute() -> None:
    refused, registry, clock = made()
    with structlog.testing.capture_logs() as lines:
        for _ in range(100_000):
            refused.add("OVERLOADED")
        refused.add("not_grpc")
        assert [(line["reason"], line["count"]) for line in lines] == [
            ("OVERLOADED", 1), ("not_grpc", 1),
        ]  # fmt: skip
        clock.now_s += QUIET_S
        refused.add("OVERLOADED", 2)
    assert lines[-1]["count"] == 100_001
    assert count(registry, "OVERLOADED") == 100_002


def test_envoys_counters_count_by_what_they_grew() -> None:
    refused, registry, _ = made()
    with structlog.testing.capture_logs() as lines:
        refused.take({})
        refused.take({"http.gateway.rbac.denied": 3, "http.help.downstream_rq_total": 2})
        refused.take({"http.gateway.rbac.denied": 3, "http.help.downstream_rq_total": 3})
        refused.take({"http2.outbound_control_flood": 1, "http.gateway.downstream_rq_2xx": 9})
    assert count(registry, "not_grpc") == 6
    assert count(registry, "flood") == 1
    assert [line["reason"] for line in lines] == ["not_grpc", "flood"]
