"""A disk that fails on command, and that keeps only what was synced: see disk.c."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

SOURCE: Final = Path(__file__).with_name("disk.c")
FAULTS: Final = {"full": "f", "read-only": "r", "sync": "s", "none": "-"}


class Disk:
    """The folder of one journal, on such a disk. Children get `env`."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal.db"
        self._folder = folder
        self._fault = folder / "fault"
        self.env = {
            "LD_PRELOAD": str(library()),
            "DISK_PREFIX": str(self.journal),
            "DISK_FAULT": str(self._fault),
        }

    def fail(self, how: str) -> None:
        """From now on: full, read-only, sync, none."""
        new = self._fault.with_suffix(".new")
        new.write_text(FAULTS[how])
        new.rename(self._fault)

    def cut_power(self) -> None:
        """Leave of each file what was synced. Nobody may have them open."""
        for path in (self.journal, self._log):
            durable = path.with_name(f"{path.name}.durable")
            if durable.exists():
                shutil.copyfile(durable, path)
            else:
                path.unlink(missing_ok=True)
        # Memory that processes share, and no file on the disk.
        self.journal.with_name("journal.db-shm").unlink(missing_ok=True)

    def tear(self, tail: bytes) -> None:
        """Something of what was being written when the power went is on the disk too."""
        with self._log.open("ab") as log:
            log.write(tail)

    def log_bytes(self) -> bytes:
        return self._log.read_bytes()

    @property
    def _log(self) -> Path:
        return self.journal.with_name("journal.db-wal")


@functools.cache
def library() -> Path:
    """Compiles disk.c, once for a test run; where that can't be, tests are skipped and say why."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("the failing disk needs Linux and a C compiler (cc), and there is none")
    made = Path(tempfile.gettempdir()) / f"simpul-disk-{os.getpid()}.so"
    subprocess.run(
        [compiler, "-Wall", "-Wextra", "-O1", "-shared", "-fPIC", "-o", made, SOURCE, "-ldl"],
        check=True,
    )
    return made
