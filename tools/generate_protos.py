"""Generates the Python code of `protos/`: messages, gRPC stubs, and types for both.

For every `protos/simpul/**/x.proto` it writes, beside it, `x_pb2.py` and `x_pb2.pyi`, and where the
file defines a service `x_pb2_grpc.py` and `x_pb2_grpc.pyi`. The import name is `simpul.v1.x_pb2`.
The compiler and its plugins are pinned by `uv.lock`, so the same input gives the same bytes.

    python tools/generate_protos.py           writes what differs, removes what has no source
    python tools/generate_protos.py --check   writes nothing; a difference is listed, exit code 1
"""

import argparse
import os
import re
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROJECT = Path(__file__).resolve().parent.parent
ROOT = PROJECT / "protos"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
SERVICE = re.compile(r"^service\s+\w+", re.MULTILINE)


def compile_into(out: Path, sources: list[Path]) -> None:
    """Runs the compiler over `sources` (paths below ROOT) and writes below `out`."""
    # The plugins stand beside the interpreter, which need not be on the PATH.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    well_known = resources.files("grpc_tools") / "_proto"
    names = [str(path.relative_to(ROOT)) for path in sources]
    services = [
        str(path.relative_to(ROOT))
        for path in sources
        if SERVICE.search(path.read_text(encoding="utf-8")) is not None
    ]
    runs = [
        (names, [f"--python_out={out}", f"--mypy_out=quiet:{out}"]),
        (services, [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"]),
    ]
    for files, flags in runs:
        if not files:
            continue
        if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *flags, *files]) != 0:
            raise SystemExit("generate_protos: the compiler refused the files above")


def generated_below(folder: Path) -> dict[Path, bytes]:
    """The generated files below `folder`, by their path relative to it."""
    return {
        path.relative_to(folder): path.read_bytes()
        for pattern in GENERATED
        for path in folder.rglob(pattern)
    }


def main() -> int:
    """Generates, or with --check compares. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Generates the Python code of protos/.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check: bool = parser.parse_args().check

    sources = sorted(ROOT.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        if sources:
            compile_into(Path(folder), sources)
        wanted = generated_below(Path(folder))
    present = generated_below(ROOT)

    differing = sorted(
        path for path in wanted.keys() | present.keys() if wanted.get(path) != present.get(path)
    )
    if check:
        for path in differing:
            print(f"{ROOT.name}/{path} is not what its .proto gives: run `make protos`")
        return 1 if differing else 0
    for path in differing:
        target = ROOT / path
        if path in wanted:
            target.write_bytes(wanted[path])
            print(f"wrote   {ROOT.name}/{path}")
        else:
            target.unlink()
            print(f"removed {ROOT.name}/{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
