from pathlib import Path
from typing import Any

import pytest

from node.config import ENV_PREFIX, NodeConfig, load_config, write_config
from node.home import NodeHome
from runtime.config import describe
from runtime.ports import TcpAddress
from security.errors import Code, SimpulError

VALUES: dict[str, dict[str, Any]] = {
    "node": {"id": "ID/~labuan-bajo-1", "members": ["ID/DAERAH/53.15"]},
    "registry": {
        "address": "127.0.0.1:7000",
        "directory_url": "http://127.0.0.1:7001/",
        "certificate_sha256": "ab" * 32,
    },
    "link": {"listen": "127.0.0.1:8442", "advertise": "node.example:8442"},
    "journal": {"slots": 2},
}


@pytest.fixture
def home(tmp_path: Path) -> NodeHome:
    made = NodeHome.create(tmp_path / "home")
    write_config(made.config, VALUES)
    return made


def written(home: NodeHome, **sections: dict[str, Any]) -> None:
    write_config(home.config, VALUES | sections)


def test_what_was_written_is_read(home: NodeHome) -> None:
    config = load_config(home, {})
    assert str(config.node_id) == "ID/~labuan-bajo-1"
    assert [str(member) for member in config.member_ids] == ["ID/DAERAH/53.15"]
    assert config.link.advertise == TcpAddress("node.example", 8442)
    assert config.journal.slots == 2


def test_the_defaults_are_safe(home: NodeHome) -> None:
    config = load_config(home, {})
    assert config.loopback_subsystem is None
    assert config.gateway.listen == TcpAddress("127.0.0.1", 8441)
    assert config.metrics.listen == TcpAddress("127.0.0.1", 8443)
    assert config.node.workers == 1
    assert config.limits.max_message_bytes == 16 * 1024 * 1024


def test_the_environment_wins(home: NodeHome) -> None:
    env = {
        f"{ENV_PREFIX}GATEWAY__LISTEN": "unix:/run/gateway.sock",
        f"{ENV_PREFIX}APPS__LOOPBACK_SUBSYSTEM": "ID/DAERAH/53.15/pariwisata",
        f"{ENV_PREFIX}NODE__WORKERS": "2",
    }
    config = load_config(home, env)
    assert str(config.gateway.listen) == "unix:/run/gateway.sock"
    assert str(config.loopback_subsystem) == "ID/DAERAH/53.15/pariwisata"
    assert config.node.workers == 2


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("node", "id", "labuan-bajo", "node.id"),
        ("node", "members", [], "node.members"),
        ("node", "members", ["SG/AGENCY/X"], "not of federation ID"),
        ("node", "workers", 3, "journal.slots"),
        ("node", "workers", 0, "node.workers"),
        ("registry", "directory_url", "file:///etc", "registry.directory_url"),
        ("registry", "certificate_sha256", "AB" * 32, "registry.certificate_sha256"),
        ("link", "listen", "unix:/x", "link.listen"),
        ("journal", "slots", 257, "journal.slots"),
        ("journal", "slot", 2, "journal.slots"),
        ("limits", "max_message_bytes", "4MiB", "limits.max_message_bytes"),
        ("apps", "loopback_subsystem", "pariwisata", "apps.loopback_subsystem"),
        ("apps", "loopback_subsystem", "ID/DAERAH/52.08/x", "apps.loopback_subsystem"),
        ("agreements", "countersign", "always", "agreements.countersign"),
    ],
)
def test_what_is_wrong_is_named(
    home: NodeHome, section: str, key: str, value: object, said: str
) -> None:
    values = {**VALUES, section: {**VALUES.get(section, {}), key: value}}
    write_config(home.config, values)
    with pytest.raises(SimpulError) as caught:
        load_config(home, {})
    assert caught.value.code is Code.CONFIG_INVALID
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_every_key_is_documented() -> None:
    assert [row.key for row in describe(NodeConfig) if not row.doc] == []


def test_odd_text_survives_the_file(home: NodeHome) -> None:
    url = "http://registry.example/d%22%5C/ü"
    write_config(home.config, {**VALUES, "registry": {**VALUES["registry"], "directory_url": url}})
    assert load_config(home, {}).registry.directory_url == url


def test_a_gateway_beyond_this_machine_needs_tls(home: NodeHome) -> None:
    written(home, gateway={"listen": "0.0.0.0:8441"})
    with pytest.raises(SimpulError, match=r"gateway\.certificate and gateway\.key") as caught:
        load_config(home, {})
    assert caught.value.code is Code.CONFIG_INVALID
    allowed = {"SIMPUL_NODE__GATEWAY__PLAINTEXT_BEYOND_THIS_MACHINE": "true"}
    assert load_config(home, allowed).gateway.plaintext_beyond_this_machine


def test_a_gateways_certificate_and_key_belong_together(home: NodeHome) -> None:
    written(home, gateway={"certificate": "gateway.pem"})
    with pytest.raises(SimpulError, match="set both, or neither"):
        load_config(home, {})
    written(home, gateway={"certificate": "gateway.pem", "key": "gateway.key"})
    with pytest.raises(SimpulError, match=r"gateway\.pem is no file"):
        load_config(home, {})
