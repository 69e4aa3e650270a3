"""`simpul consent`, against a node that implements the real admin API."""

import pytest

from runtime.clock import now_ms
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import CONSUMER, SERVICE, FakeNode

DAY_MS = 86_400_000
RECORD = (
    "consent", "record", "--consumer", CONSUMER, "--service", SERVICE, "--purpose", "wisata",
)  # fmt: skip


def test_a_record_prints_its_reference_and_nothing_else(simpul: Simpul, node: FakeNode) -> None:
    made = simpul(*RECORD, "--subject", "3171234567890123", "--days", "10").ok()
    assert made.out == "cns-0\n"
    asked = node.heard.last()
    assert (asked.subject, asked.consumer) == ("3171234567890123", CONSUMER)
    assert (asked.service_id, asked.purpose) == (SERVICE, "wisata")
    assert abs(asked.valid_until_ms - now_ms() - 10 * DAY_MS) < DAY_MS


def test_a_citizen_may_come_by_stdin(simpul: Simpul, node: FakeNode) -> None:
    made = simpul(*RECORD, "--subject", "-", "--until", "2100-01-02", "--json",
                  stdin="3171234567890123\n").ok().json()  # fmt: skip
    assert node.heard.last().subject == "3171234567890123"
    assert (made["reference"], made["state"], made["withdrawn_at_ms"]) == ("cns-0", "given", None)
    assert made["valid_until_ms"] == 4_102_531_200_000
    assert "subject" not in made


@pytest.mark.usefixtures("node")
def test_one_end_is_needed_and_no_two(simpul: Simpul) -> None:
    assert simpul(*RECORD, "--subject", "x").code == 2
    both = simpul(*RECORD, "--subject", "x", "--days", "1", "--until", "2100-01-01")
    assert both.code == 2
    assert "--until" in both.err


def test_withdrawn_once_and_again(simpul: Simpul, node: FakeNode) -> None:
    simpul(*RECORD, "--subject", "x", "--days", "1").ok()
    assert "cns-0 is withdrawn" in simpul("consent", "withdraw", "cns-0").ok().err
    again = simpul("consent", "withdraw", "cns-0", "--json").ok().json()
    assert (again["again"], again["state"]) == (True, "withdrawn")
    unknown = simpul("consent", "withdraw", "cns-9")
    assert unknown.code == 1
    assert "NOT_FOUND" in unknown.err
    assert node.consents["cns-0"].state == "withdrawn"


def test_the_list_and_one_of_it(simpul: Simpul, node: FakeNode) -> None:
    assert "simpul consent record" in simpul("consent", "list").ok().err
    simpul(*RECORD, "--subject", "x", "--days", "1").ok()
    assert "cns-0" in simpul("consent", "list", "--state", "given").ok().out
    asked = node.heard.last()
    assert (asked.state, asked.subject, asked.reference) == ("given", "", "")
    (listed,) = simpul("consent", "list", "--subject", "x", "--json").ok().json()["consents"]
    assert node.heard.last().subject == "x"
    assert listed == simpul("consent", "show", "cns-0", "--json").ok().json()
    assert "wisata" in simpul("consent", "show", "cns-0").ok().out
    assert simpul("consent", "list", "--state", "gone").code == 2
