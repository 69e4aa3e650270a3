"""What a contract is published from: .proto files, which are compiled, or a FileDescriptorSet.

The compiler is grpcio-tools', in a process of its own; it comes with `simpul[protos]`. Without it a
descriptor set from any compiler does as well. Files that Simpul's own options stand in
(`simpul/v1/annotations.proto`) are found without being named.
"""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cli.output import refusal
from security.errors import Code

MAX_PROTOSET_BYTES: Final = 16 * 1024 * 1024
COMPILE_TIMEOUT_S: Final = 60.0
# Of what the compiler says, the first lines.
_MAX_SAID: Final = 20


def read_contract(files: Sequence[Path], include: Sequence[Path]) -> bytes:
    """The FileDescriptorSet of one protoset, or of .proto files with all they import.

    Raises:
        SimpulError: PROTOSET_INVALID.
    """
    sources = [file for file in files if file.suffix == ".proto"]
    if len(sources) == len(files):
        return _compile(sources, include)
    if sources or len(files) != 1:
        raise refusal(
            Code.PROTOSET_INVALID, "give .proto files alone, or one FileDescriptorSet alone"
        )
    return read_protoset(files[0])


def read_protoset(file: Path) -> bytes:
    """A FileDescriptorSet from a file; raises SimpulError PROTOSET_INVALID."""
    with file.open("rb") as opened:
        data = opened.read(MAX_PROTOSET_BYTES + 1)
    if not data or len(data) > MAX_PROTOSET_BYTES:
        raise refusal(
            Code.PROTOSET_INVALID,
            f"{file} is empty or over {MAX_PROTOSET_BYTES} bytes: make it with protoc "
            "--include_imports --include_source_info --descriptor_set_out=FILE",
        )
    return data


def _compile(sources: Sequence[Path], include: Sequence[Path]) -> bytes:
    if importlib.util.find_spec("grpc_tools") is None:
        raise refusal(
            Code.PROTOSET_INVALID,
            "there is no compiler for .proto files here: install simpul[protos], or give a "
            "FileDescriptorSet (protoc --include_imports --include_source_info "
            "--descriptor_set_out=FILE, or buf build -o FILE)",
        )
    roots = [root.resolve() for root in include] or _roots(sources)
    with tempfile.TemporaryDirectory(prefix="simpul-protos-") as folder:
        made = Path(folder) / "contract.protoset"
        # A process of its own: protoc ends its process where it fails, and writes to its stderr.
        done = subprocess.run(
            [
                sys.executable, "-m", "grpc_tools.protoc",
                *(f"--proto_path={root}" for root in (*roots, *_ours())),
                "--include_imports", "--include_source_info", f"--descriptor_set_out={made}",
                *(str(source.resolve()) for source in sources),
            ],
            capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            said = " / ".join(done.stderr.splitlines()[:_MAX_SAID])
            raise refusal(
                Code.PROTOSET_INVALID,
                f"the .proto files don't compile: {said}; name the folder that imports are "
                "relative to with --include",
            )
        return made.read_bytes()


def generate_python(folder: Path, names: Sequence[str]) -> bool:
    """Make Python messages and stubs in `folder/gen` of files below `folder/protos`.

    Returns:
        Whether there is a compiler here.

    Raises:
        SimpulError: PROTOSET_INVALID.
    """
    if importlib.util.find_spec("grpc_tools") is None:
        return False
    protos, gen = folder / "protos", folder / "gen"
    gen.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc",
            *(f"--proto_path={root}" for root in (protos, *_ours()[1:])),
            f"--python_out={gen}", f"--pyi_out={gen}", f"--grpc_python_out={gen}",
            *(str(protos / name) for name in names),
        ],
        capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = " / ".join(done.stderr.splitlines()[:_MAX_SAID])
        raise refusal(Code.PROTOSET_INVALID, f"the contract's .proto files don't compile: {said}")
    return True


def _roots(sources: Sequence[Path]) -> list[Path]:
    """Where imports are looked for: the working folder, or that of a file outside of it."""
    here = Path.cwd()
    outside = [file.resolve().parent for file in sources if not file.resolve().is_relative_to(here)]
    return list(dict.fromkeys([*outside, here] if outside else [here]))


def _ours() -> tuple[Path, ...]:
    """Where Simpul's own .proto files lie, and protobuf's."""
    from simpul.v1 import annotations_pb2

    found = importlib.util.find_spec("grpc_tools")
    well_known = (
        [] if found is None or found.origin is None else [Path(found.origin).parent / "_proto"]
    )
    return (Path(annotations_pb2.__file__).parents[2], *well_known)
