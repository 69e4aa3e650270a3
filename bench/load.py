"""The load: one run of h2load, and what it saw.

h2load sends the same framed request on every stream. A run counts only if every call was answered
with HTTP 200 and with exactly the bytes of the answer: a refusal has none.
"""

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 300.0
_FINISHED: Final = re.compile(r"^finished in ([0-9.]+)(us|ms|s|m)?,", re.MULTILINE)
_STATUS: Final = re.compile(r"^status codes: (\d+) 2xx", re.MULTILINE)
_DATA: Final = re.compile(r"\((\d+)\) data")
_UNITS_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class LoadError(Exception):
    """h2load is missing, or not every call was answered as it must be."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is sent where: `clients` connections with `streams` calls at once on each."""

    path: str
    request: Path
    answer_bytes: int
    clients: int
    streams: int

    @property
    def concurrency(self) -> int:
        """Calls under way at once."""
        return self.clients * self.streams


@dataclass(frozen=True, slots=True)
class Seen:
    """One run: latencies in milliseconds, sorted; `cpu_s` is h2load's own."""

    calls: int
    elapsed_s: float
    latencies_ms: Sequence[float]
    cpu_s: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.elapsed_s

    def quantile(self, share: float) -> float:
        """The latency that this share of the calls did not exceed, in milliseconds."""
        place = min(int(share * len(self.latencies_ms)), len(self.latencies_ms) - 1)
        return self.latencies_ms[place]


def find_h2load() -> str:
    """Where h2load is.

    Raises:
        LoadError: Nowhere; says how to install it.
    """
    return _find("h2load", "nghttp2-client")


def find_nginx() -> str:
    """Where nginx is; on Debian it is not on everybody's PATH.

    Raises:
        LoadError: Nowhere; says how to install it.
    """
    return _find("nginx", "nginx-light")


def _find(program: str, package: str) -> str:
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None:
        raise LoadError(
            f"{program} is not installed; `apt-get install {package}` (Debian, Ubuntu) brings it"
        )
    return found


def run(
    address: str,
    headers: Sequence[str],
    shape: Shape,
    calls: int,
    folder: Path,
    *,
    rate: float | None = None,
) -> Seen:
    """Make `calls` calls, as fast as they are answered or `rate` of them a second.

    Raises:
        LoadError: Not every call was answered in full.
    """
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = [
        find_h2load(), f"http://{address}{shape.path}", "-n", str(calls),
        "-c", str(shape.clients), "-m", str(shape.streams), "-d", str(shape.request),
        f"--log-file={log}", "-H", "content-type: application/grpc", "-H", "te: trailers",
    ]  # fmt: skip
    for header in headers:
        command += ["-H", header]
    if rate is not None:
        command.append(f"--rps={max(1, round(rate / shape.clients))}")
    before_s = _children_s()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise LoadError(f"{shape.path} at {address}: no end after {TIMEOUT_S:g} s") from None
    cpu_s = _children_s() - before_s
    return _seen(said, log.read_text(encoding="ascii"), shape, calls, cpu_s)


def _children_s() -> float:
    """CPU seconds of the children that have ended: h2load is the only one meanwhile."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seen(said: str, log: str, shape: Shape, calls: int, cpu_s: float) -> Seen:
    finished, status, data = (pattern.search(said) for pattern in (_FINISHED, _STATUS, _DATA))
    if finished is None or status is None or data is None:
        raise LoadError(f"h2load did not finish: {said.strip()[-400:]}")
    if int(status[1]) != calls or int(data[1]) != calls * shape.answer_bytes:
        raise LoadError(
            f"{shape.path}: of {calls} calls {status[1]} were answered, with {data[1]} bytes "
            f"and not {calls * shape.answer_bytes}"
        )
    latencies = sorted(int(line.rsplit("\t", 1)[1]) / 1000 for line in log.splitlines())
    return Seen(calls, float(finished[1]) * _UNITS_S[finished[2] or "s"], latencies, cpu_s)
