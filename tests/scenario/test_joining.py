"""Joining a federation, and what must not join: each refusal is one line with a code."""

import shutil
from pathlib import Path

from tests.scenario.harness import (
    BANDARA_PROTOSET,
    KEMENHUB,
    LABUAN_BAJO,
    PROTOSET,
    SUPERAPP,
    WISATA,
    Federation,
    done,
    refused,
    serving,
    simpul,
)


def test_federation_json_says_where_everything_is(federation: Federation) -> None:
    said = federation.document
    assert set(said) == {"registry", "nodes", "services", "consumer"}
    assert set(said["registry"]) == {"home", "grpc", "directory", "root"}
    assert said["registry"]["directory"].startswith("http://127.0.0.1:")
    for node in said["nodes"]:
        assert set(node) == {"id", "members", "home", "gateway", "link", "metrics", "pid"}
    assert [node["id"] for node in said["nodes"]] == [
        "ID/~komdigi-1", "ID/~labuan-bajo-1", "ID/~kemenhub-1",
    ]  # fmt: skip
    assert [node["members"] for node in said["nodes"]] == [
        ["ID/KEMENTERIAN/KOMDIGI"], ["ID/DAERAH/53.15"], ["ID/KEMENTERIAN/KEMENHUB"],
    ]  # fmt: skip
    for service in said["services"]:
        assert set(service) == {"id", "node", "target"}
    assert {service["id"] for service in said["services"]} == {
        f"{LABUAN_BAJO}/{WISATA}", f"{KEMENHUB}/bandara.v1.Bandara",
    }  # fmt: skip
    assert set(said["consumer"]) == {"node", "subsystem", "gateway", "metadata"}
    assert said["consumer"]["subsystem"] == SUPERAPP


def test_a_node_joins_by_hand_and_is_called(federation: Federation, home: Path) -> None:
    subsystem = "ID/DAERAH/82.04/pariwisata"
    token = federation.enrol(
        "ID/DAERAH/82.04",
        "halmahera-1",
        "--name",
        "Kabupaten Halmahera Selatan",
        "--region",
        "82.04",
    )
    assert federation.init(home / "n", token).status == 0
    with serving(home / "n", home / "n.log") as (node, _):
        published = done(
            "service", "publish", "--home", node.home, "--subsystem", subsystem,
            "--target", federation.target, "--protoset", PROTOSET,
        )  # fmt: skip
        service = published.out.strip()
        assert service == f"{subsystem}/{WISATA}"
        told = federation.ask({"simpul-to": subsystem})
        assert told.code == "ACCESS_NO_AGREEMENT"
        done("access", "allow", "--home", node.home, "--consumer", SUPERAPP, "--service", service)
        assert federation.ask({"simpul-to": subsystem}).status == "OK"
        assert federation.ask({"simpul-to": "", "simpul-region": "82.04"}).status == "OK"
        _a_protoset_without_the_service(node.home, subsystem, federation.target)
    assert done("journal", "verify", "--home", home / "n", "--json").json["ok"]
    # What is down is said to be down, and the app is told at once.
    told = federation.ask({"simpul-to": subsystem})
    assert (told.status, told.code) == ("UNAVAILABLE", "PEER_UNREACHABLE"), told


def _a_protoset_without_the_service(home: Path, subsystem: str, target: str) -> None:
    publish = ("service", "publish", "--home", home, "--subsystem", subsystem, "--target", target)
    lacking = ("--protoset", BANDARA_PROTOSET, "--service", WISATA)
    refused("PROTOSET_LACKS_SERVICE", *publish, *lacking)
    refused("PROTOSET_INVALID", *publish, "--protoset", Path(__file__))
    foreign = ("service", "publish", "--home", home, "--subsystem", LABUAN_BAJO)
    refused("MEMBER_UNKNOWN", *foreign, "--target", target, "--protoset", PROTOSET)


def test_tokens(federation: Federation, home: Path, other_root: Path) -> None:
    token = federation.enrol("ID/DAERAH/11.01", "token-1")
    assert _code(federation, home / "a", "nonsense") == "TOKEN_MALFORMED"
    assert _code(federation, home / "a", token[:-3] + "abc") in {
        "TOKEN_MALFORMED", "TOKEN_UNKNOWN",
    }  # fmt: skip
    wrong_root = simpul(
        "node", "init", "--home", home / "a", "--registry", federation.registry_grpc,
        "--root", other_root, "--token", token,
    )  # fmt: skip
    assert (wrong_root.status, wrong_root.error) == (1, "ROOT_MISMATCH")
    # None of these used it up, nor left a home in the way.
    assert federation.init(home / "a", token).status == 0
    assert _code(federation, home / "b", token) == "TOKEN_USED"
    assert _code(federation, home / "a", token) == "HOME_EXISTS"


def test_a_registry_that_does_not_answer(federation: Federation, home: Path) -> None:
    token = federation.enrol("ID/DAERAH/11.02", "token-2")
    ran = simpul(
        "node", "init", "--home", home / "a", "--registry", "127.0.0.1:9",
        "--root", federation.root, "--token", token,
    )  # fmt: skip
    assert (ran.status, ran.error) == (1, "REGISTRY_UNREACHABLE")


def test_homes_of_others(federation: Federation, home: Path) -> None:
    refused("HOME_MISSING", "node", "serve", "--home", home / "nothing")
    refused("HOME_FOREIGN", "node", "serve", "--home", federation.registry)
    refused("HOME_FOREIGN", "service", "list", "--home", federation.registry)
    refused("HOME_FOREIGN", "registry", "status", "--home", federation.consumer.home)
    refused("HOME_LOCKED", "node", "serve", "--home", federation.consumer.home)
    refused("HOME_EXISTS", "demo", "up", "--home", federation.home)


def test_a_home_of_another_federation(federation: Federation, home: Path, other_root: Path) -> None:
    node = federation.join(home / "n", "ID/DAERAH/11.03", "foreign-1")
    config = (node / "node.toml").read_text()
    (node / "node.toml").write_text(config.replace("ID/", "XX/"))
    ran = simpul("node", "serve", "--home", node)
    assert ran.status == 1
    assert ran.error in {"HOME_FOREIGN", "DIRECTORY_UNTRUSTED"}, ran.err
    (node / "node.toml").write_text(config)
    shutil.copy(other_root, node / "root.json")
    refused("DIRECTORY_UNTRUSTED", "node", "serve", "--home", node)


def _code(federation: Federation, home: Path, token: str) -> str:
    ran = federation.init(home, token)
    assert ran.status == 1
    return ran.error
