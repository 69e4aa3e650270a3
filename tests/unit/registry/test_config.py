"""registry.toml: defaults, refusals, and the ports that a new registry chooses."""

from pathlib import Path

import pytest

from registry import config
from runtime.ports import TcpAddress
from security.errors import Code, SimpulError


def load(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> config.RegistryConfig:
    file = tmp_path / "registry.toml"
    file.write_text(text)
    return config.load(file, env or {})


def test_the_first_file_is_read_back(tmp_path: Path) -> None:
    addresses = [TcpAddress("127.0.0.1", port) for port in (1, 2, 3, 4)]

    settings = load(tmp_path, config.first_file("ID", config.Listening(*addresses)))

    assert settings.federation == "ID"
    assert settings.grpc.listen == addresses[0]
    assert settings.directory.listen == addresses[1]
    assert settings.witness.listen == addresses[2]
    assert settings.metrics.listen == addresses[3]


def test_all_but_the_federation_has_a_default_on_loopback(tmp_path: Path) -> None:
    settings = load(tmp_path, 'federation = "ID"')

    assert settings.grpc.listen == TcpAddress("127.0.0.1", 0)
    assert settings.directory.heartbeat_s == 60
    assert settings.directory.coalesce_s == 0.1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "federation"),
        ('federation = "ID"\n[grpc]\nlistne = "x"', r"grpc\.listen"),
        ('federation = "ID"\n[grpc]\nlisten = "x"', r"grpc\.listen"),
        ('federation = "ID"\n[directory]\npublic_url = "ftp://x"', r"directory\.public_url"),
        ('federation = "ID"\n[directory]\npublic_url = "http://x/"', r"directory\.public_url"),
        ('federation = "ID"\n[tokens]\nlife_s = 0', r"tokens\.life_s"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SimpulError, match=named) as caught:
        load(tmp_path, text)

    assert caught.value.code is Code.CONFIG_INVALID
    assert "\n" not in caught.value.message


def test_the_environment_wins(tmp_path: Path) -> None:
    env = {"SIMPUL_REGISTRY__GRPC__LISTEN": "127.0.0.1:7"}

    assert load(tmp_path, 'federation = "ID"', env).grpc.listen == TcpAddress("127.0.0.1", 7)
