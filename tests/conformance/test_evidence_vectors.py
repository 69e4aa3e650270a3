"""The evidence vectors are what their script builds, and say what verifying their files says."""

import json
from typing import Any

import pytest

from security.evidence import parse_evidence, print_evidence, verify
from tests.conformance import build_evidence_vectors, fixed

DOCUMENT: dict[str, Any] = json.loads((fixed.VECTORS / "evidence.json").read_text("utf-8"))
VECTORS = {item["name"]: item for item in DOCUMENT["vectors"]}


def test_the_file_is_what_the_script_builds() -> None:
    assert fixed.differences(build_evidence_vectors.documents()) == []


@pytest.mark.parametrize("name", VECTORS)
def test_a_file_proves_what_its_vector_says(name: str) -> None:
    vector = VECTORS[name]
    data = bytes.fromhex(vector["file"])
    assert print_evidence(parse_evidence(data)) == data
    report = verify(data, bytes.fromhex(DOCUMENT["root"]))
    assert {str(step.number): step.result.value for step in report.steps} == vector["results"]
    assert (report.failed and report.failed.number) == vector["failed_step"]


def test_there_are_good_ones_and_bad_ones() -> None:
    failing = {item["failed_step"] for item in VECTORS.values()}
    assert failing == {None, 7, 9, 16, 18}
