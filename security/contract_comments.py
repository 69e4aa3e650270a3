"""The comments of .proto files: taken out of a descriptor set, kept apart, and put back.

A contract's bytes are what is hashed, listed and agreed on: a word in a comment must not make them
others. So a set is published without `source_code_info`, and its comments beside it, by the full
names of what they are about, which stay when lines and files move. Pure.

Source: docs/spec, "Contracts: comments".
"""

from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from security.contract_card import Comment
from security.errors import Code, SimpulError

# Of all comments of a revision, with their elements' names.
MAX_COMMENT_BYTES: Final = 256 * 1024

Path = tuple[int, ...]
_SYNTAX: Final[Path] = (12,)
_PACKAGE: Final[Path] = (2,)
_FILE_MESSAGES, _FILE_ENUMS, _FILE_SERVICES, _FILE_EXTENSIONS = 4, 5, 6, 7
_FIELDS, _NESTED, _MESSAGE_ENUMS, _EXTENSIONS, _ONEOFS = 2, 3, 4, 6, 8
_VALUES: Final = 2
_METHODS: Final = 2


def without_comments(descriptor_set: bytes) -> bytes:
    """The same set without `source_code_info`; the same bytes where there is none."""
    files = FileDescriptorSet.FromString(descriptor_set)
    if not any(file.HasField("source_code_info") for file in files.file):
        return descriptor_set
    for file in files.file:
        file.ClearField("source_code_info")
    return files.SerializeToString(deterministic=True)


def comments_of(descriptor_set: bytes, package: str) -> tuple[Comment, ...]:
    """The comments in the files of a package, by element.

    Raises:
        SimpulError: PROTOSET_INVALID for too many.
    """
    found: dict[str, Comment] = {}
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        if file.package != package:
            continue
        names = dict(elements(file))
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            comment = Comment(
                name or "", _tidy(location.leading_comments), _tidy(location.trailing_comments)
            )
            if name is not None and (comment.leading or comment.trailing):
                # Of several files of a package, or of `syntax` and `package`, the first counts.
                found.setdefault(name, comment)
    size = sum(
        len(f"{item.element}{item.leading}{item.trailing}".encode()) for item in found.values()
    )
    if size > MAX_COMMENT_BYTES:
        raise SimpulError(
            Code.PROTOSET_INVALID,
            f"the comments have {size} bytes and may have {MAX_COMMENT_BYTES}: shorten them, or "
            "compile without --include_source_info",
        )
    return tuple(found[name] for name in sorted(found))


def with_comments(descriptor_set: bytes, comments: Iterable[Comment]) -> bytes:
    """The set with the comments in its `source_code_info`; lines and columns are all 0."""
    by_name = {comment.element: comment for comment in comments}
    files = FileDescriptorSet.FromString(descriptor_set)
    for file in files.file:
        for path, name in elements(file):
            comment = by_name.get(name)
            # A package's comment goes to one place alone.
            if comment is None or path == _PACKAGE:
                continue
            file.source_code_info.location.add(
                path=path,
                span=(0, 0, 0),
                leading_comments=comment.leading,
                trailing_comments=comment.trailing,
            )
    return files.SerializeToString(deterministic=True)


def elements(file: FileDescriptorProto) -> Iterator[tuple[Path, str]]:
    """Everything in a file that may have a comment: its path and its full name."""
    if file.package:
        yield _SYNTAX, file.package
        yield _PACKAGE, file.package
    prefix = f"{file.package}." if file.package else ""
    for at, message in enumerate(file.message_type):
        yield from _message((_FILE_MESSAGES, at), prefix, message)
    for at, enum in enumerate(file.enum_type):
        yield from _enum((_FILE_ENUMS, at), prefix, enum)
    for at, extension in enumerate(file.extension):
        yield (_FILE_EXTENSIONS, at), f"{prefix}{extension.name}"
    for at, service in enumerate(file.service):
        name = f"{prefix}{service.name}"
        yield (_FILE_SERVICES, at), name
        for place, method in enumerate(service.method):
            yield (_FILE_SERVICES, at, _METHODS, place), f"{name}.{method.name}"


def _message(path: Path, prefix: str, message: DescriptorProto) -> Iterator[tuple[Path, str]]:
    name = f"{prefix}{message.name}"
    yield path, name
    parts = (
        (_FIELDS, [item.name for item in message.field]),
        (_EXTENSIONS, [item.name for item in message.extension]),
        (_ONEOFS, [item.name for item in message.oneof_decl]),
    )
    for number, names in parts:
        for at, part in enumerate(names):
            yield (*path, number, at), f"{name}.{part}"
    for at, inner in enumerate(message.nested_type):
        yield from _message((*path, _NESTED, at), f"{name}.", inner)
    for at, enum in enumerate(message.enum_type):
        yield from _enum((*path, _MESSAGE_ENUMS, at), f"{name}.", enum)


def _enum(path: Path, prefix: str, enum: EnumDescriptorProto) -> Iterator[tuple[Path, str]]:
    name = f"{prefix}{enum.name}"
    yield path, name
    for at, value in enumerate(enum.value):
        # Below the enum's own name, though protobuf puts values beside it: so none is named twice.
        yield (*path, _VALUES, at), f"{name}.{value.name}"


def _tidy(text: str) -> str:
    """Without the blank that follows `//`, and without empty lines around."""
    lines = [line.removeprefix(" ").rstrip() for line in text.splitlines()]
    return "\n".join(lines).strip("\n")
