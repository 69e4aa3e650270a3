"""A contract's files, written below a folder and nowhere else."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from cli.proto_files import write_protos
from security.errors import Code, SimpulError
from tests.unit.cli.fakes import PROTOSET


def test_they_lie_under_their_own_names(tmp_path: Path) -> None:
    written = write_protos(tmp_path, PROTOSET.read_bytes())
    assert tmp_path / "wisata" / "v1" / "wisata.proto" in written
    assert "service Wisata {" in (tmp_path / "wisata" / "v1" / "wisata.proto").read_text()


@pytest.mark.parametrize(
    "name", ["../out.proto", "/etc/out.proto", "a/../../out.proto", "a\n.proto", "a\\b.proto", "a"]
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    files = [FileDescriptorProto(name="good.proto"), FileDescriptorProto(name=name)]
    with pytest.raises(SimpulError) as refused:
        write_protos(tmp_path / "in", FileDescriptorSet(file=files).SerializeToString())
    assert refused.value.code is Code.PROTOSET_INVALID
    assert list(tmp_path.rglob("*")) == []


def test_names_that_no_file_system_takes_are_refused(tmp_path: Path) -> None:
    for names in (("a.proto", "a.proto/b.proto"), ("a.proto", f"{'b' * 300}.proto")):
        files = [FileDescriptorProto(name=name) for name in names]
        with pytest.raises(SimpulError) as refused:
            write_protos(tmp_path, FileDescriptorSet(file=files).SerializeToString())
        assert refused.value.code is Code.PROTOSET_INVALID
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a file")
    files = FileDescriptorSet(file=[FileDescriptorProto(name="a.proto")])
    with pytest.raises(SimpulError) as refused:
        write_protos(tmp_path / "in", files.SerializeToString())
    assert refused.value.code is Code.CONFIG_INVALID
