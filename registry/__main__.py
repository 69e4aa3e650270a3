"""`python -m registry HOME`: serves a registry, for service managers. See also `simpul`."""

import asyncio
import sys
from pathlib import Path

from security.errors import SimpulError

USAGE = "usage: python -m registry HOME"


def main() -> int:
    """Runs until SIGTERM or SIGINT. 0: stopped; 1: did not start; 2: wrong usage."""
    arguments = sys.argv[1:]
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write(f"{USAGE}\n")
        return 2
    # Half a second, which a usage line need not cost.
    from registry.app import serve  # noqa: PLC0415

    try:
        asyncio.run(serve(Path(arguments[0])))
    except SimpulError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
