"""`make fuzz`: every target under libFuzzer, by atheris, within a budget of time.

    python -m tests.fuzz.run [--seconds N] [--keep DIR] [TARGET...]

Each target runs in a process of its own, for its share of the seconds. What breaks a parser is
written to DIR (default `.fuzz`), and said with the command that repeats it; so is what was learnt,
for the next run. Where atheris has no wheel for this Python, it says so and ends well.
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
MISSING = (
    "atheris is not installed, and has no wheels for some systems and the newest Pythons: skipped "
    f"(this is Python {sys.version_info.major}.{sys.version_info.minor} on {sys.platform})"
)
MAX_INPUT_BYTES = 4096
_NOISE = ("INFO:", "WARNING:", "stat::")


def main() -> int:
    """Fuzz; returns how many targets broke."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - after the arguments, so that help is quick

    arguments = _arguments(tuple(TARGETS))
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write(f"make fuzz: {MISSING}\n")
        return 0
    names = arguments.targets or list(TARGETS)
    each_s = max(1, arguments.seconds // len(names))
    broken = [name for name in names if not _fuzz(name, each_s, arguments.keep)]
    sys.stdout.write(f"make fuzz: {len(names) - len(broken)} of {len(names)} targets held\n")
    return len(broken)


def _arguments(names: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names))
    parser.add_argument("--seconds", type=int, default=300, help="for all of them (default 300)")
    parser.add_argument(
        "--keep", type=Path, default=CHECKOUT / ".fuzz", help="inputs worth keeping"
    )
    found = parser.parse_args()
    unknown = set(found.targets) - set(names)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return found


def _fuzz(name: str, seconds: int, keep: Path) -> bool:
    corpus = keep / name
    corpus.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "tests.fuzz.one", name, str(corpus),
        f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", "-rss_limit_mb=1024",
        "-timeout=10", f"-artifact_prefix={keep}/{name}-", "-verbosity=0", "-print_final_stats=1",
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True, text=True)
    said = ran.stdout + ran.stderr
    tries = next(
        (line.split()[-1] for line in said.splitlines() if "number_of_executed_units" in line), "?"
    )
    if ran.returncode == 0:
        sys.stdout.write(f"  {name:16} held: {tries} inputs in {seconds} s\n")
    else:
        why = [line for line in said.splitlines() if not line.startswith(_NOISE)]
        sys.stdout.write(f"  {name:16} BROKE:\n" + "\n".join(why)[:4000] + "\n")
        sys.stdout.write(f"  again: python -m tests.fuzz.one {name} {keep}/{name}-…\n")
    sys.stdout.flush()
    return ran.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
