import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from runtime.config import (
    ConfigKey,
    ListenAddress,
    ListenTcp,
    Section,
    describe,
    load,
    variable,
)
from runtime.ports import TcpAddress, UnixAddress
from security.errors import Code, SimpulError

PREFIX = "SIMPUL_NODE__"


class Form(enum.Enum):
    JSON = "json"
    CONSOLE = "console"


class Gateway(Section):
    listen: ListenAddress = Field(TcpAddress("127.0.0.1", 0), description="Where apps call.")
    max_streams: int = Field(1_000, ge=1, description="Calls at one time.")
    allow_loopback: bool = False


class Limits(Section):
    timeout_s: float = 10.0


class Journal(Section):
    folder: Path = Path("journal")
    origins: tuple[str, ...] = ()
    limits: Limits = Limits()


class Node(Section):
    name: str = Field(description="The node's identifier.")
    workers: int = 1
    form: Form = Form.JSON
    mode: Literal["strict", "trial"] = "strict"
    metrics: ListenTcp = TcpAddress("127.0.0.1", 9000)
    pin: SecretStr = SecretStr("")
    quota: dict[str, int] = Field(default_factory=dict)
    note: str | None = None
    gateway: Gateway = Gateway()
    journal: Journal = Journal()


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(file: Path, env: Mapping[str, str] | None = None) -> str:
    """The message, without the folder's name."""
    with pytest.raises(SimpulError) as caught:
        load(Node, file, env or {}, PREFIX)
    assert caught.value.code is Code.CONFIG_INVALID
    assert "\n" not in caught.value.message
    return caught.value.message.replace(f"{file.parent}/", "")


def test_a_file_is_read_into_the_model(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        name = "ID/~a"
        workers = 2
        form = "console"
        mode = "trial"
        metrics = "127.0.0.1:9100"
        quota = { wisata = 3 }
        [gateway]
        listen = "unix:/run/a.sock"
        [journal]
        folder = "/var/lib/simpul"
        origins = ["a", "b"]
        [journal.limits]
        timeout_s = 3
        """,
    )
    assert load(Node, file, {}, PREFIX) == Node(
        name="ID/~a",
        workers=2,
        form=Form.CONSOLE,
        mode="trial",
        metrics=TcpAddress("127.0.0.1", 9100),
        quota={"wisata": 3},
        gateway=Gateway(listen=UnixAddress("/run/a.sock")),
        journal=Journal(
            folder=Path("/var/lib/simpul"), origins=("a", "b"), limits=Limits(timeout_s=3)
        ),
    )


def test_the_environment_wins_for_every_kind_of_key(tmp_path: Path) -> None:
    file = write(tmp_path, 'name = "file"\n[gateway]\nmax_streams = 5\nlisten = "h:1"\n')
    env = {
        "SIMPUL_NODE__NAME": "123",
        "SIMPUL_NODE__WORKERS": "4",
        "SIMPUL_NODE__FORM": "console",
        "SIMPUL_NODE__PIN": "0000",
        "SIMPUL_NODE__NOTE": "[not toml",
        "SIMPUL_NODE__QUOTA": "{ a = 1 }",
        "SIMPUL_NODE__GATEWAY__LISTEN": "127.0.0.1:80",
        "SIMPUL_NODE__GATEWAY__ALLOW_LOOPBACK": "true",
        "SIMPUL_NODE__JOURNAL__ORIGINS": '["x"]',
        "SIMPUL_NODE__JOURNAL__FOLDER": "/j",
        "SIMPUL_NODE__JOURNAL__LIMITS__TIMEOUT_S": "0.5",
    }
    got = load(Node, file, env, PREFIX)
    # A text key takes the text as it is, also one that looks like a number or like broken TOML.
    assert (got.name, got.note, got.pin.get_secret_value()) == ("123", "[not toml", "0000")
    assert (got.workers, got.form, got.quota) == (4, Form.CONSOLE, {"a": 1})
    assert got.gateway == Gateway(
        listen=TcpAddress("127.0.0.1", 80), max_streams=5, allow_loopback=True
    )
    assert got.journal == Journal(folder=Path("/j"), origins=("x",), limits=Limits(timeout_s=0.5))


def test_every_key_can_be_overridden(tmp_path: Path) -> None:
    texts = {
        "metrics": "h:1", "gateway.listen": "h:1", "quota": "{}", "journal.origins": "[]",
        "form": "json", "mode": "strict", "gateway.allow_loopback": "false",
    }  # fmt: skip
    env = {variable(PREFIX, row.key): texts.get(row.key, "1") for row in describe(Node)}
    assert load(Node, write(tmp_path, ""), env, PREFIX).gateway.max_streams == 1


def test_what_is_not_behind_the_prefix_is_left_alone(tmp_path: Path) -> None:
    env = {
        "SIMPUL_HOME": "/h",
        "SIMPUL_REGISTRY__NONSENSE": "1",
        "SIMPUL_NODE_SERVICE_HOST": "10.0.0.1",
        "PATH": "/bin",
    }
    assert load(Node, write(tmp_path, 'name = "a"'), env, PREFIX).name == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('nmae = "a"', "node.toml: nmae: unknown key; did you mean name?"),
        ("[gatway]\nlisten = 1", "node.toml: gatway: unknown key; did you mean gateway?"),
        (
            '[gateway]\nlisten_on = "h:1"',
            "node.toml: gateway.listen_on: unknown key; did you mean gateway.listen?",
        ),
        (
            "timeout_s = 3",
            "node.toml: timeout_s: unknown key; did you mean journal.limits.timeout_s?",
        ),
        ("zzzzqqqq = 3", "node.toml: zzzzqqqq: unknown key; it has no near relative: remove it"),
        ("", "node.toml: name: is missing: add it"),
        ("name = 3", "node.toml: name: must be text, not 3"),
        ('name = "a"\nworkers = "4"', 'node.toml: workers: must be an integer, not "4"'),
        ('name = "a"\nworkers = 1.5', "node.toml: workers: must be an integer, not 1.5"),
        ('name = "a"\nworkers = true', "node.toml: workers: must be an integer, not true"),
        ('name = "a"\nform = "xml"', "node.toml: form: must be 'json' or 'console', not \"xml\""),
        (
            'name = "a"\n[gateway]\nmax_streams = 0',
            "node.toml: gateway.max_streams: must be greater than or equal to 1, not 0",
        ),
        (
            'name = "a"\nmetrics = ""',
            "node.toml: metrics: '' is no address: write HOST:PORT, [IPV6]:PORT or unix:PATH",
        ),
        (
            'name = "a"\nmetrics = "unix:/a"',
            "node.toml: metrics: must be HOST:PORT or [IPV6]:PORT",
        ),
        (
            'name = "a"\ngateway = 3',
            "node.toml: gateway: must be a table, not 3",
        ),
        (
            'name = "a"\n[journal]\norigins = ["a", 1]',
            "node.toml: journal.origins (at 1): must be text, not 1",
        ),
        ("workers = 0.5", "node.toml: name: is missing: add it (and 1 more)"),
        ("name =", "node.toml: is not TOML: Invalid value (at end of document)"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    assert refused(write(tmp_path, text)) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("NMAE", "a", "unknown key; did you mean SIMPUL_NODE__NAME?"),
        ("GATEWAY_LISTEN", "h:1", "unknown key; did you mean SIMPUL_NODE__GATEWAY__LISTEN?"),
        ("name", "a", "unknown key; did you mean SIMPUL_NODE__NAME?"),
        ("GATEWAY", "{}", "unknown key; did you mean SIMPUL_NODE__GATEWAY__LISTEN?"),
        ("WORKERS", "many", 'must be an integer, not "many"'),
        ("WORKERS", "1\nname = 2", 'must be an integer, not "1\\nname = 2"'),
        ("GATEWAY__ALLOW_LOOPBACK", "yes", 'must be true or false, not "yes"'),
    ],
)
def test_a_wrong_variable_is_one_clear_line(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    file = write(tmp_path, 'name = "a"')
    assert refused(file, {PREFIX + name: value}) == f"environment: {PREFIX}{name}: {message}"


def test_a_secret_is_never_in_the_message(tmp_path: Path) -> None:
    message = refused(write(tmp_path, 'name = "a"\npin = [7391]'))
    assert message == "node.toml: pin: must be text"


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    assert len(refused(write(tmp_path, f'name = "a"\nworkers = "{"x" * 5000}"'))) < 200


def test_a_file_that_can_not_be_read_says_so(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none.toml")
    assert "can't be read" in refused(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    assert "not UTF-8" in refused(tmp_path / "latin.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    assert "larger than" in refused(tmp_path / "large.toml")


@given(st.text(max_size=40))
def test_whatever_a_variable_holds_it_is_taken_or_refused(value: str) -> None:
    # A name that no file has: the file is read first, and /dev/null is an empty one.
    env = {f"{PREFIX}NAME": "a", f"{PREFIX}WORKERS": value}
    try:
        got = load(Node, Path("/dev/null"), env, PREFIX)
    except SimpulError as error:
        assert error.code is Code.CONFIG_INVALID  # noqa: PT017  (most values are refused, not all)
    else:
        assert isinstance(got.workers, int)


@given(st.text(max_size=60))
def test_whatever_a_file_holds_it_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(Node, file, {}, PREFIX)
    except SimpulError as error:
        assert error.code is Code.CONFIG_INVALID  # noqa: PT017  (some texts are taken)


def test_the_reference_page_has_every_key_in_order() -> None:
    assert describe(Node) == [
        ConfigKey("name", "text", "required", "The node's identifier."),
        ConfigKey("workers", "integer", "1", ""),
        ConfigKey("form", '"json" or "console"', '"json"', ""),
        ConfigKey("mode", '"strict" or "trial"', '"strict"', ""),
        ConfigKey("metrics", "HOST:PORT", '"127.0.0.1:9000"', ""),
        ConfigKey("pin", "secret text", "(secret)", ""),
        ConfigKey("quota", "table of integer", "{}", ""),
        ConfigKey("note", "text or none", "none", ""),
        ConfigKey("gateway.listen", "HOST:PORT or unix:PATH", '"127.0.0.1:0"', "Where apps call."),
        ConfigKey("gateway.max_streams", "integer", "1000", "Calls at one time."),
        ConfigKey("gateway.allow_loopback", "true or false", "false", ""),
        ConfigKey("journal.folder", "path", '"journal"', ""),
        ConfigKey("journal.origins", "list of text", "[]", ""),
        ConfigKey("journal.limits.timeout_s", "number", "10.0", ""),
    ]
