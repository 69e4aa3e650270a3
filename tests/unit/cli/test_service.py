"""`simpul service`, against a node that implements the real admin API."""

from pathlib import Path

import pytest

from security.errors import Code, SimpulError
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import PROTOSET, PROVIDER, SERVICE, FakeNode

PUBLISH = ("service", "publish", "--subsystem", PROVIDER, "--target", "127.0.0.1:50051")


def test_publish_with_a_protoset(simpul: Simpul, node: FakeNode) -> None:
    chosen = ("--protoset", str(PROTOSET), "--service", "wisata.v1.Wisata")
    ran = simpul(*PUBLISH, *chosen).ok()
    assert ran.out == f"{SERVICE}\n"
    assert f"simpul access allow --home {simpul.home}" in ran.err
    asked = node.heard.last()
    assert asked.descriptor_set == PROTOSET.read_bytes()
    assert (asked.subsystem, asked.target) == (PROVIDER, "127.0.0.1:50051")
    assert list(asked.services) == ["wisata.v1.Wisata"]


def test_publish_by_reflection_sends_no_protoset(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(*PUBLISH, "--json").ok()
    expected = {
        "service_ids": [SERVICE],
        "directory_version": 8,
        "target_fault": "",
        "revisions": [{"service_id": SERVICE, "revision": 3}],
        "not_compared": "",
    }
    assert ran.json() == expected
    assert ran.err == ""
    assert node.heard.last().descriptor_set == b""


def test_a_protoset_that_is_not_there_is_wrong_usage(simpul: Simpul, node: FakeNode) -> None:
    assert simpul(*PUBLISH, "--protoset", "/no/such").code == 2
    assert node.heard.requests == []


def test_an_empty_protoset(simpul: Simpul, node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "empty.protoset"
    file.touch()
    ran = simpul(*PUBLISH, "--protoset", str(file))
    assert ran.code == 1
    assert ran.err.startswith("simpul: PROTOSET_INVALID: ")
    assert node.heard.requests == []


def test_a_refusal(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["PublishService"] = SimpulError(Code.PROTOSET_LACKS_SERVICE, "not in it")
    assert simpul(*PUBLISH, "--json").json()["error"]["code"] == "PROTOSET_LACKS_SERVICE"


@pytest.mark.usefixtures("node")
def test_list(simpul: Simpul) -> None:
    out = simpul("service", "list").ok().out
    assert out.splitlines()[1].split(maxsplit=2) == [
        SERVICE,
        "127.0.0.1:50051",
        "Get, Chat(stream→stream)",
    ]
    (service,) = simpul("service", "list", "--json").ok().json()["services"]
    assert set(service) == {"id", "target", "methods"}
    assert service["methods"][1] == {
        "name": "Chat",
        "client_streaming": True,
        "server_streaming": True,
    }
