"""Figures between two looks: what grew, what stands, and a process that began anew."""

import pytest

from cli.top import rows
from cli.top_figures import compare, read_look

FIRST = """\
# TYPE simpul_calls counter
simpul_calls_total{side="provider",status="OK",code=""} 100.0
simpul_calls_total{side="provider",status="PERMISSION_DENIED",code="ACCESS_NO_AGREEMENT"} 3.0
# TYPE simpul_calls_open gauge
simpul_calls_open{side="provider"} 2.0
# TYPE simpul_call_seconds histogram
simpul_call_seconds_bucket{side="provider",le="0.01"} 50.0
simpul_call_seconds_bucket{side="provider",le="0.1"} 103.0
simpul_call_seconds_bucket{side="provider",le="+Inf"} 103.0
# TYPE simpul_parcels counter
simpul_parcels_total{direction="sent"} 10.0
"""
SECOND = """\
# TYPE simpul_calls counter
simpul_calls_total{side="provider",status="OK",code=""} 190.0
simpul_calls_total{side="provider",status="PERMISSION_DENIED",code="ACCESS_NO_AGREEMENT"} 8.0
simpul_calls_total{side="provider",status="UNAVAILABLE",code="SERVICE_UNREACHABLE"} 5.0
# TYPE simpul_calls_open gauge
simpul_calls_open{side="provider"} 4.0
# TYPE simpul_call_seconds histogram
simpul_call_seconds_bucket{side="provider",le="0.01"} 100.0
simpul_call_seconds_bucket{side="provider",le="0.1"} 203.0
simpul_call_seconds_bucket{side="provider",le="+Inf"} 203.0
# TYPE simpul_gateway_refused counter
simpul_gateway_refused_total{reason="not_grpc"} 7.0
# TYPE simpul_parcels counter
simpul_parcels_total{direction="sent"} 30.0
# TYPE simpul_links gauge
simpul_links{kind="shared"} 1.0
# TYPE simpul_journal_bytes gauge
simpul_journal_bytes 3145728.0
# TYPE simpul_journal_parcels gauge
simpul_journal_parcels{slot="0"} 1000.0
simpul_journal_parcels{slot="1"} 234.0
# TYPE simpul_directory_version gauge
simpul_directory_version 9.0
# TYPE simpul_directory_issued_timestamp_seconds gauge
simpul_directory_issued_timestamp_seconds 1000.0
# TYPE simpul_certificate_expiry_timestamp_seconds gauge
simpul_certificate_expiry_timestamp_seconds 865000.0
"""


def test_what_was_done_in_between() -> None:
    found = compare(read_look(FIRST, 50.0), read_look(SECOND, 60.0))
    provider = found.sides["provider"]
    assert provider.calls_per_s == pytest.approx(10.0)
    assert provider.failed_per_s == pytest.approx(1.0)
    assert provider.open == 4
    # Of 100 calls 50 took up to 10 ms: the median is that bound, and p99 lies near the next.
    assert provider.p50_s == pytest.approx(0.01)
    assert provider.p99_s == pytest.approx(0.01 + 0.09 * 49 / 50)
    assert found.sides["consumer"].p50_s is None
    assert list(found.refused.items()) == [
        ("not_grpc", 7), ("ACCESS_NO_AGREEMENT", 5), ("SERVICE_UNREACHABLE", 5),
    ]  # fmt: skip
    assert found.parcels_per_s["sent"] == pytest.approx(2.0)
    assert (found.journal_parcels, found.directory_version) == (1234, 9)


def test_a_process_that_began_anew_counts_from_zero() -> None:
    found = compare(read_look(SECOND, 50.0), read_look(FIRST, 60.0))
    assert found.sides["provider"].calls_per_s == 0
    assert found.parcels_per_s["sent"] == 0
    assert not found.refused


def test_rows_for_people() -> None:
    shown = dict(rows(compare(read_look(FIRST, 50.0), read_look(SECOND, 60.0)), 1000.5))
    assert shown["calls in"] == "10.0/s, 4 open, p50 10.0 ms, p99 98.2 ms, 1.0/s not OK"
    assert shown["refused or failed"].startswith("not_grpc 7, ACCESS_NO_AGREEMENT 5")
    assert shown["journal"] == "1,234 parcels, 3.0 MiB"
    assert shown["certificate"] == "10.0 days left"
