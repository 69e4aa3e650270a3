"""Makes what is generated from tests/interop/gen: `python -m tests.interop.generate [--check]`.

The Python messages and stubs with their types, and `contracts.protoset`, which a node publishes.
With --check nothing is written: it exits 1 and names each file that differs from a fresh one.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
GEN = Path(__file__).parent / "gen"
PROTOSET = GEN / "contracts.protoset"
# The probe's messages are bytes to its tests: it needs a contract and no code.
CODED = ("messages.proto", "service.proto")
PROTOS = (*CODED, "probe.proto")


def generate(root: Path) -> None:
    """Write the generated files below `root`, a checkout or an empty folder."""
    scripts = Path(sysconfig.get_path("scripts"))
    gen = root / GEN.relative_to(CHECKOUT)
    gen.mkdir(parents=True, exist_ok=True)
    _protoc(
        CODED,
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        *(f"--{kind}_out={root}" for kind in ("python", "grpc_python")),
        *(f"--{kind}_out=quiet:{root}" for kind in ("mypy", "mypy_grpc")),
    )
    _protoc(PROTOS, f"--descriptor_set_out={gen / PROTOSET.name}", "--include_imports")


def _protoc(protos: Sequence[str], *arguments: str) -> None:
    files = [f"{GEN.relative_to(CHECKOUT)}/{name}" for name in protos]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={CHECKOUT}"]
    subprocess.run([*command, *arguments, *files], check=True)


def stale() -> list[str]:
    """The generated files that are missing, left over or different."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, committed = _files(Path(folder) / GEN.relative_to(CHECKOUT)), _files(GEN)
    return sorted(
        name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name)
    )


def _files(folder: Path) -> dict[str, bytes]:
    patterns = ("*_pb2*.py", "*_pb2*.pyi", "*.protoset")
    return {p.name: p.read_bytes() for pattern in patterns for p in folder.glob(pattern)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    if not parser.parse_args(arguments).check:
        generate(CHECKOUT)
        return 0
    found = stale()
    for name in found:
        sys.stderr.write(
            f"tests/interop/gen/{name} is stale: run python -m tests.interop.generate\n"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
