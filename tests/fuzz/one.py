"""One target under libFuzzer: `python -m tests.fuzz.one TARGET CORPUS [libFuzzer's options]`."""

import sys
from pathlib import Path

import atheris

# Before anything imports them: only what is instrumented tells libFuzzer of its branches.
with atheris.instrument_imports(include=["security", "node.gateway", "node.link", "registry"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer has enough."""
    target = TARGETS[sys.argv[1]]
    corpus = Path(sys.argv[2])
    if corpus.is_dir():
        for number, seed in enumerate(target.seeds):
            (corpus / f"seed-{number}").write_bytes(seed)

    def run(data: bytes) -> None:
        target.run(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
