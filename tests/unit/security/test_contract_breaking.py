"""What breaks a contract: the verdicts of buf itself, and what each violation says."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from security.contract_breaking import Level, breaking_changes
from tests.unit.security.breaking_cases import CASES, HEAD, SERVICE, message

BUF = Path(sysconfig.get_path("scripts")) / "buf"


def compiled(folder: Path, text: str) -> bytes:
    """A descriptor set of one file `a.proto`, by protoc."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.proto").write_text(text)
    out = folder / "a.binpb"
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={folder}",
            "--include_imports", f"--descriptor_set_out={out}", str(folder / "a.proto"),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return out.read_bytes()


def together(folder: Path, side: int) -> bytes:
    """All cases in one set, each in a package of its own: one run of the compiler, and of buf."""
    folder.mkdir(parents=True)
    for number, case in enumerate(CASES):
        text = case[side].replace("package a.v1;", f"package a{number}.v1;")
        (folder / f"a{number}.proto").write_text(text)
    out = folder / "all.binpb"
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={folder}",
            "--include_imports", f"--descriptor_set_out={out}",
            *(str(folder / f"a{number}.proto") for number in range(len(CASES))),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return out.read_bytes()


def asked(folder: Path, category: str) -> dict[int, set[str]]:
    """The rules that buf finds broken, by the number of the case."""
    config = json.dumps({"version": "v2", "breaking": {"use": [category]}})
    done = subprocess.run(
        [
            str(BUF), "breaking", str(folder / "after" / "all.binpb"),
            "--against", str(folder / "before" / "all.binpb"),
            "--config", config, "--error-format", "json",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 100, done.stderr
    found: dict[int, set[str]] = {}
    for line in done.stdout.splitlines():
        said = json.loads(line)
        found.setdefault(int(said["path"][1:].partition(".")[0]), set()).add(said["type"])
    return found


def test_its_verdicts_are_those_of_buf(tmp_path: Path) -> None:
    before, after = together(tmp_path / "before", 1), together(tmp_path / "after", 2)
    wire, in_json = asked(tmp_path, "WIRE"), asked(tmp_path, "WIRE_JSON")
    ours: dict[int, set[Level]] = {}
    for item in breaking_changes(before, after):
        ours.setdefault(int(item.file[1:].partition(".")[0]), set()).add(item.level)

    assert len(CASES) > 350
    for number, (name, _, _) in enumerate(CASES):
        levels = ours.get(number, set())
        assert (Level.WIRE in levels) == (number in wire), (name, wire.get(number), levels)
        assert (not levels <= {Level.CALL}) == (number in in_json), (name, in_json.get(number))


KEEP = "; leave it as it was, and add a field with another number"
DEPRECATE = "; keep it, and mark it deprecated"


@pytest.mark.parametrize(
    ("before", "after", "what", "remedy", "rule"),
    [
        (
            message("string f = 1;"), message("int32 f = 1;"),
            "M.f: field 1 is of type int32 and no longer string", KEEP,
            "FIELD_WIRE_COMPATIBLE_TYPE",
        ),
        (
            message('string f = 1; reserved "g";'), message('reserved "f", "g";'),
            "M.f: field 1 is gone", "; write `reserved 1;`",
            "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED",
        ),
        (
            HEAD + SERVICE, HEAD + SERVICE.replace("rpc A(N) returns (O);", ""),
            "S.A: the method is gone", DEPRECATE, "RPC_NO_DELETE",
        ),
        (
            HEAD + SERVICE, HEAD + "message N {}\nmessage O {}\n",
            "S: the service is gone", DEPRECATE, "PACKAGE_SERVICE_NO_DELETE",
        ),
        (
            message("map<string, int32> f = 1;"), message("map<string, string> f = 1;"),
            "M.f: field 1 is a map whose value is of type string and no longer int32", KEEP,
            "FIELD_WIRE_COMPATIBLE_TYPE",
        ),
    ],
)  # fmt: skip
def test_each_violation_says_where_what_and_what_to_do(
    tmp_path: Path, before: str, after: str, what: str, remedy: str, rule: str
) -> None:
    found = breaking_changes(
        compiled(tmp_path / "before", before), compiled(tmp_path / "after", after)
    )
    assert [str(item) for item in found] == [f"a.proto: a.v1.{what}{remedy} ({rule})"]
