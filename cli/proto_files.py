"""Writes a contract's `.proto` files below a folder. It decides nothing of what they say.

The names of the files are another member's word: one that leads out of the folder is refused, and
then nothing is written.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from cli.output import refusal
from security.errors import Code

# Of a file or folder: what file systems take.
MAX_NAME_CHARS = 200


def write_protos(folder: Path, descriptor_set: bytes) -> list[Path]:
    """Write all files but those that protoc has itself; returns their paths.

    Raises:
        SimpulError: PROTOSET_INVALID.
    """
    from node.catalogue.proto_text import proto_files

    texts = proto_files(descriptor_set)
    for name in texts:
        _check_name(name, texts)
    written = []
    for name, text in texts.items():
        file = folder / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise refusal(
                Code.CONFIG_INVALID, f"{file} can't be written: {error.strerror}"
            ) from error
        written.append(file)
    return written


def _check_name(name: str, names: Iterable[str]) -> None:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or path.suffix != ".proto"
        or not name.isprintable()
        or "\\" in name
        or any(len(part) > MAX_NAME_CHARS for part in path.parts)
        or any(other.startswith(f"{name}/") for other in names)
    ):
        raise refusal(
            Code.PROTOSET_INVALID,
            f"the contract names a file {name[:200]!a}, which can't be written: its owner must "
            "publish it under a plain name",
        )
