"""`simpul call` against a real gRPC server that plays the gateway."""

import signal
from pathlib import Path

import pytest

from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2 as node_pb
from tests.unit.cli.conftest import Ran, Simpul
from tests.unit.cli.fakes import (
    CALL_ID,
    CONSUMER,
    PROVIDER,
    SERVICE,
    FakeGateway,
    FakeNode,
    agreement,
)

KOMODO = '{"code": "53.15.40084"}'


def error(ran: Ran) -> dict[str, str]:
    """The error of a failed --json command; stderr must say the same."""
    assert ran.code == 1, ran
    found: dict[str, str] = ran.json_lines()[-1]["error"]
    assert ran.err.startswith(f"simpul: {found['code']}: ")
    return found


@pytest.mark.usefixtures("gateway")
def test_unary_prints_the_answer_and_the_call_id_apart(simpul: Simpul) -> None:
    ran = simpul("call", SERVICE, "Get", "-d", KOMODO).ok()
    assert ran.json()["island"]["name"] == "Pulau Komodo"
    # Every field is there under the contract's name, whatever its value.
    assert ran.json()["island"]["is_populated"] is False
    assert ran.err.strip() == f"call_id {CALL_ID}"


@pytest.mark.usefixtures("gateway")
def test_unary_as_json_has_the_call_id_and_the_metadata(simpul: Simpul) -> None:
    ran = simpul("call", SERVICE, "Get", "-d", KOMODO, "--json").ok()
    found = ran.json()
    assert found["call_id"] == CALL_ID
    assert found["service_id"] == SERVICE
    assert found["method"] == "Get"
    assert found["grpc_status"] == "OK"
    assert found["response"]["island"]["code"] == "53.15.40084"
    assert found["headers"]["x-served-by"] == ["fake"]
    assert found["trailers"]["x-raw-bin"] == ["AQI="]
    assert ran.err == ""


@pytest.mark.usefixtures("gateway")
def test_server_stream_prints_a_line_for_each_message(simpul: Simpul) -> None:
    ran = simpul("call", SERVICE, "List", "-d", '{"limit": 3}').ok()
    codes = [item["island"]["code"] for item in ran.json_lines()]
    assert codes == ["53.15.0", "53.15.1", "53.15.2"]


@pytest.mark.usefixtures("gateway")
def test_server_stream_as_json_ends_with_the_call_id(simpul: Simpul) -> None:
    *messages, last = simpul("call", SERVICE, "List", "-d", '{"limit": 2}', "--json").json_lines()
    assert [set(item) for item in messages] == [{"response"}] * 2
    assert last["call_id"] == CALL_ID
    assert "response" not in last


@pytest.mark.parametrize(
    "data",
    [
        '[{"island": {"code": "a"}}, {"island": {"code": "b"}}]',
        '{"island": {"code": "a"}}\n{"island": {"code": "b"}}\n',
        '{"island": {"code": "a"}} {"island": {"code": "b"}}',
    ],
)
@pytest.mark.usefixtures("gateway")
def test_client_stream_takes_a_list_or_one_value_after_the_other(
    simpul: Simpul, data: str, tmp_path: Path
) -> None:
    assert simpul("call", SERVICE, "Import", "-d", data).ok().json()["received"] == 2
    file = tmp_path / "islands.jsonl"
    file.write_text(data, encoding="utf-8")
    assert simpul("call", SERVICE, "Import", "-d", f"@{file}").ok().json()["received"] == 2


@pytest.mark.usefixtures("gateway")
def test_client_stream_reads_lines_from_stdin(simpul: Simpul) -> None:
    lines = '{"island": {}}\n\n{"island": {}}\n{}'
    assert simpul("call", SERVICE, "Import", "-d", "-", stdin=lines).ok().json()["received"] == 3


@pytest.mark.usefixtures("gateway")
def test_client_stream_without_data_is_empty(simpul: Simpul) -> None:
    assert simpul("call", SERVICE, "Import").ok().json()["received"] == 0


@pytest.mark.usefixtures("gateway")
def test_a_chat_answers_each_line_while_stdin_is_open(simpul: Simpul) -> None:
    with simpul.start("call", SERVICE, "Chat", "-d", "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, name in enumerate(("komodo", "rinca")):
            process.stdin.write(f'{{"name": "{name}"}}\n')
            process.stdin.flush()
            answer = process.stdout.readline()
            assert f'"question":{number}' in answer
            assert name in answer
        process.stdin.close()
        assert process.wait(10) == 0


def test_ctrl_c_cancels_the_call_quietly(simpul: Simpul, gateway: FakeGateway) -> None:
    with simpul.start("call", SERVICE, "Chat", "-d", "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write('{"name": "komodo"}\n')
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""
    assert gateway.cancelled.wait(5)


def test_the_credential_is_short_lived_and_removed(
    simpul: Simpul, node: FakeNode, gateway: FakeGateway
) -> None:
    simpul("call", SERVICE, "Get", "-d", KOMODO).ok()
    (added,) = [r for r in node.heard.requests if isinstance(r, node_pb.AddAppRequest)]
    assert added.ttl_s == 60
    assert list(added.subsystems) == [CONSUMER]
    assert node.apps == {}
    assert ("simpul-from", CONSUMER) in gateway.metadata
    assert ("simpul-to", PROVIDER) in gateway.metadata


@pytest.mark.usefixtures("gateway")
def test_the_credential_is_removed_after_a_failure_too(simpul: Simpul, node: FakeNode) -> None:
    assert simpul("call", SERVICE, "Get", "-d", '{"code": "x"}').code == 1
    assert node.tokens
    assert node.apps == {}


def test_a_given_token_is_used_as_it_is(
    simpul: Simpul, node: FakeNode, gateway: FakeGateway
) -> None:
    simpul("call", SERVICE, "Get", "-d", KOMODO, "--token", "given-token").ok()
    assert ("simpul-token", "given-token") in gateway.metadata
    assert not [r for r in node.heard.requests if isinstance(r, node_pb.AddAppRequest)]
    assert "simpul-from" not in dict(gateway.metadata)


def test_what_the_user_says_travels_as_metadata(simpul: Simpul, gateway: FakeGateway) -> None:
    said = ["--purpose", "layanan-wisata", "--user", "ani", "--issue", "K-7"]
    more = ["-H", "x-one=1", "-H", "x-two-bin=AQI=", "--from", f"{CONSUMER}2"]
    simpul("call", SERVICE, "Get", "-d", KOMODO, *said, *more).ok()
    found = dict(gateway.metadata)
    assert found["simpul-purpose"] == "layanan-wisata"
    assert found["simpul-user"] == "ani"
    assert found["simpul-issue"] == "K-7"
    assert found["simpul-from"] == f"{CONSUMER}2"
    assert found["x-one"] == "1"
    assert found["x-two-bin"] == b"\x01\x02"


@pytest.mark.usefixtures("gateway")
def test_several_possible_callers_must_be_chosen_from(simpul: Simpul, node: FakeNode) -> None:
    node.agreements.append(agreement(consumers=[f"{CONSUMER}2"]))
    found = error(simpul("call", SERVICE, "Get", "-d", KOMODO, "--json"))
    assert found["code"] == Code.APP_SUBSYSTEM_AMBIGUOUS
    assert f"{CONSUMER} and {CONSUMER}2" in found["message"]


@pytest.mark.parametrize(
    "other",
    [
        {"state": "expired"},
        {"side": "provider"},
        {"service": "bandara.v1.Bandara, other.v1.Other"},
        {"provider": "ID/DAERAH/74.07/pariwisata"},
    ],
)
@pytest.mark.usefixtures("gateway")
def test_without_an_agreement_nobody_is_known_to_call(
    simpul: Simpul, node: FakeNode, other: dict[str, str]
) -> None:
    node.agreements[:] = [agreement(**other)]
    found = error(simpul("call", SERVICE, "Get", "-d", KOMODO, "--json"))
    assert found["code"] == Code.ACCESS_NO_AGREEMENT
    assert "--from" in found["message"]
    assert node.tokens == {}


def test_a_refusal_by_simpul_keeps_its_code_and_call_id(
    simpul: Simpul, gateway: FakeGateway
) -> None:
    gateway.refusal = SimpulError(Code.ACCESS_PURPOSE, "say which purpose")
    ran = simpul("call", SERVICE, "Get", "-d", KOMODO, "--json")
    found = error(ran)
    assert found["code"] == Code.ACCESS_PURPOSE
    assert found["message"] == "say which purpose"
    assert found["call_id"] == CALL_ID
    assert found["ended_by"] == "simpul"
    assert found["grpc_status"] == "PERMISSION_DENIED"


@pytest.mark.usefixtures("gateway")
def test_a_status_of_the_service_is_told_apart(simpul: Simpul) -> None:
    found = error(simpul("call", SERVICE, "Get", "-d", '{"code": "x"}', "--json"))
    assert found["code"] == "NOT_FOUND"
    assert found["message"] == "no island x"
    assert found["ended_by"] == "service"
    plain = simpul("call", SERVICE, "Get", "-d", '{"code": "x"}')
    assert plain.out == ""
    assert plain.err.splitlines()[0] == f"call_id {CALL_ID}"
    assert plain.err.splitlines()[1] == "simpul: NOT_FOUND: no island x"


@pytest.mark.usefixtures("gateway")
def test_a_stream_that_fails_keeps_what_came_before(simpul: Simpul) -> None:
    torn = '{"limit": 2, "populated_only": true}'
    ran = simpul("call", SERVICE, "List", "-d", torn, "--json")
    assert [set(item) for item in ran.json_lines()] == [{"response"}, {"response"}, {"error"}]
    assert error(ran)["code"] == "DATA_LOSS"


def test_a_deadline_passes(simpul: Simpul, gateway: FakeGateway) -> None:
    args = ("call", SERVICE, "Get", "-d", '{"code": "hang"}', "--timeout", "0.2", "--json")
    assert error(simpul(*args))["code"] == Code.DEADLINE_EXCEEDED
    assert gateway.cancelled.wait(5)


@pytest.mark.usefixtures("node")
def test_a_gateway_that_is_not_there(simpul: Simpul) -> None:
    found = error(simpul("call", SERVICE, "Get", "-d", KOMODO, "--json"))
    assert found["code"] == Code.NOT_RUNNING
    assert "127.0.0.1:1" in found["message"]


@pytest.mark.usefixtures("gateway")
def test_a_method_that_is_not_there_names_those_that_are(simpul: Simpul, node: FakeNode) -> None:
    found = error(simpul("call", SERVICE, "get", "--json"))
    assert found["code"] == Code.METHOD_UNKNOWN
    assert "did you mean Get?" in found["message"]
    assert "Get, List, Import, Chat" in found["message"]
    assert node.tokens == {}


@pytest.mark.usefixtures("gateway")
def test_a_field_that_is_not_there_names_the_nearest(simpul: Simpul, node: FakeNode) -> None:
    found = error(simpul("call", SERVICE, "Get", "-d", '{"kode": "x"}', "--json"))
    assert found["code"] == Code.REQUEST_MALFORMED
    assert "no field kode; did you mean code?" in found["message"]
    assert node.tokens == {}


@pytest.mark.parametrize(
    ("method", "data", "told"),
    [
        ("Get", "{code: 1}", "not JSON at line 1, column 2"),
        ("Get", '{"code": "a"} {"code": "b"}', "one message, and 2 were given"),
        ("Get", "", "one message, and none was given"),
        ("Get", '"53.15"', "JSON object, not as text"),
        ("Get", "@/no/such/file", "can't be read (No such file or directory)"),
        ("List", '{"limit": "many"}', "no wisata.v1.ListRequest"),
        ("Import", '[{"island": {}}, {"islnd": {}}]', "did you mean island?"),
    ],
)
def test_bad_requests_are_said_before_the_call(
    simpul: Simpul, gateway: FakeGateway, method: str, data: str, told: str
) -> None:
    found = error(simpul("call", SERVICE, method, "-d", data, "--json"))
    assert found["code"] == Code.REQUEST_MALFORMED
    assert told in found["message"]
    assert gateway.metadata == []


def test_a_bad_line_of_stdin_cancels_the_call(simpul: Simpul, gateway: FakeGateway) -> None:
    with simpul.start("call", SERVICE, "Chat", "-d", "-", "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"name": "komodo"}\n')
        process.stdin.flush()
        process.stdout.readline()
        process.stdin.write("{oops\n")
        process.stdin.flush()
        out, err = process.communicate(timeout=60)
        found = error(Ran(process.returncode, out, err))
    assert found["code"] == Code.REQUEST_MALFORMED
    assert gateway.cancelled.wait(5)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("novalue", "has no ="),
        ("Upper=1", "no metadata key"),
        ("grpc-timeout=1", "no metadata key"),
        ("x-bin=%%", "not base64"),
        ("x=é", "not plain ASCII"),
    ],
)
@pytest.mark.usefixtures("gateway")
def test_bad_metadata(simpul: Simpul, header: str, told: str) -> None:
    found = error(simpul("call", SERVICE, "Get", "-d", KOMODO, "-H", header, "--json"))
    assert found["code"] == Code.METADATA_MALFORMED
    assert told in found["message"]


@pytest.mark.usefixtures("gateway")
def test_a_malformed_service_id(simpul: Simpul) -> None:
    assert error(simpul("call", "wisata", "Get", "--json"))["code"] == Code.ID_MALFORMED


@pytest.mark.usefixtures("gateway")
def test_the_node_says_that_a_service_is_unknown(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["GetContract"] = SimpulError(Code.SERVICE_UNKNOWN, "nobody offers it")
    found = error(simpul("call", SERVICE, "Get", "--json"))
    assert (found["code"], found["message"]) == (Code.SERVICE_UNKNOWN, "nobody offers it")


@pytest.mark.usefixtures("node", "gateway")
def test_a_contract_without_the_service(simpul: Simpul) -> None:
    found = error(simpul("call", f"{PROVIDER}/other.v1.Other", "Get", "--json"))
    assert found["code"] == Code.PROTOSET_LACKS_SERVICE


def test_a_service_that_answers_twice_breaks_its_contract(
    simpul: Simpul, gateway: FakeGateway
) -> None:
    gateway.answers_twice = True
    found = error(simpul("call", SERVICE, "Get", "-d", KOMODO, "--json"))
    assert found["code"] == Code.INTERNAL
    assert "2 came" in found["message"]


def test_an_answer_that_is_no_message(simpul: Simpul, gateway: FakeGateway) -> None:
    gateway.answers_garbage = True
    found = error(simpul("call", SERVICE, "Get", "-d", KOMODO, "--json"))
    assert found["code"] == Code.INTERNAL
    assert "no wisata.v1.GetResponse" in found["message"]
