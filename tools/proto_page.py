"""docs/reference/protos.md: every service and message of `protos/`, by the comments in them."""

import tempfile
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from grpc_tools import protoc

from security.contract_comments import comments_of

Row = tuple[str, ...]


def compiled(root: Path) -> FileDescriptorSet:
    """All protos below `root`, with their comments."""
    well_known = resources.files("grpc_tools") / "_proto"
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        flags = [f"-I{root}", f"-I{well_known}", "--include_source_info"]
        if protoc.main(["protoc", *flags, f"--descriptor_set_out={out}", *names]) != 0:
            raise SystemExit("proto_page: the compiler refused the files above")
        return FileDescriptorSet.FromString(out.read_bytes())


def services(files: FileDescriptorSet) -> Iterator[tuple[str, str, list[Row]]]:
    """Each service's name, what it is, and a row for each method."""
    for file, said in _documented(files):
        for service in file.service:
            name = f"{file.package}.{service.name}"
            rows: list[Row] = [
                (
                    f"`{method.name}`",
                    *_sides(method),
                    _one_line(said.get(f"{name}.{method.name}", "")),
                )
                for method in service.method
            ]
            yield name, _one_line(said.get(name, "")), rows


def messages(files: FileDescriptorSet) -> Iterator[tuple[str, list[Row]]]:
    """Each package with a row for each field of its messages on the outermost level."""
    found: dict[str, list[Row]] = {}
    for file, said in _documented(files):
        rows = found.setdefault(file.package, [])
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            rows.append((f"**{message.name}**", "", _one_line(said.get(name, ""))))
            rows += [
                (
                    f"{field.number} `{field.name}`",
                    _type(field),
                    _one_line(said.get(f"{name}.{field.name}", "")),
                )
                for field in message.field
            ]
    yield from sorted(found.items())


def _documented(
    files: FileDescriptorSet,
) -> Iterator[tuple[FileDescriptorProto, Mapping[str, str]]]:
    for file in files.file:
        alone = FileDescriptorSet(file=[file]).SerializeToString()
        comments = comments_of(alone, file.package)
        yield file, {item.element: item.leading or item.trailing for item in comments}


def _sides(method: MethodDescriptorProto) -> tuple[str, str]:
    asked = "stream " if method.client_streaming else ""
    told = "stream " if method.server_streaming else ""
    return f"{asked}{_short(method.input_type)}", f"{told}{_short(method.output_type)}"


def _type(field: FieldDescriptorProto) -> str:
    kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = _short(field.type_name) if field.type_name else kind
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _one_line(comment: str) -> str:
    return " ".join(comment.split())
