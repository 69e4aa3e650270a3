"""What is committed is what the generator makes, and its check can tell."""

import shutil
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from examples.generate import CONTRACTS, EXAMPLES, PROTOS, differences, generate


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    generate(folder)
    return folder


def test_committed_files_are_fresh(fresh: Path) -> None:
    assert differences(fresh, EXAMPLES) == []


def test_a_changed_a_missing_and_a_left_over_file_are_named(fresh: Path, tmp_path: Path) -> None:
    shutil.copytree(fresh, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "protos/wisata.protoset").open("ab") as file:
        file.write(b"\0")
    (tmp_path / "gen/bandara/v1/bandara_pb2.py").unlink()
    (tmp_path / "gen/bandara/v1/old_pb2.pyi").touch()
    assert differences(fresh, tmp_path) == [
        "gen/bandara/v1/bandara_pb2.py",
        "gen/bandara/v1/old_pb2.pyi",
        "protos/wisata.protoset",
    ]


@pytest.mark.parametrize(
    ("contract", "kinds"),
    [
        (
            "wisata",
            {
                "Get": (False, False),
                "List": (False, True),
                "Import": (True, False),
                "Chat": (True, True),
            },
        ),
        ("bandara", {"Nearest": (False, False), "List": (False, True)}),
    ],
)
def test_a_protoset_holds_its_service_with_comments(
    contract: str, kinds: dict[str, tuple[bool, bool]]
) -> None:
    raw = (PROTOS / f"{contract}.protoset").read_bytes()
    [file] = descriptor_pb2.FileDescriptorSet.FromString(raw).file
    [service] = file.service
    assert file.name == CONTRACTS[contract]
    assert file.source_code_info.location
    assert f"{file.package}.{service.name}" == f"{contract}.v1.{contract.capitalize()}"
    assert {m.name: (m.client_streaming, m.server_streaming) for m in service.method} == kinds
