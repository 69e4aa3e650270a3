"""A few machines that see each other by name, on this one: each a network namespace of its own.

They hang on one bridge that leads nowhere else, so nothing that runs in them reaches another
machine. A link can be cut and mended, for all others or for some. Everything is held by processes
of the test: when they end, the kernel takes namespaces, links and mounts away.

It needs what a test run seldom has, the right to make namespaces: `why_not()` says what is missing.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_NETWORK = "10.61.0"
_NOBODY = "02:00:00:00:00:01"
_TOOLS = ("unshare", "nsenter", "ip", "mount")
# A machine's folder for volumes: a program's own paths must not be made on the machine below.
VOLUMES = Path("/var/lib")
STOP_S = 30.0


@cache
def why_not() -> str | None:
    """What this machine lacks for it; None: nothing."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)} on this machine"
    tried = "ip link add b type bridge && ip link add v type veth peer name w"
    ran = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-ec", f"{tried}; mount -t tmpfs none {VOLUMES}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no network namespaces here: {ran.stderr.strip()}" if ran.returncode else None


@dataclass
class Host:
    """One machine: its name, its address, and the process that holds its namespaces."""

    name: str
    address: str
    holder: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, words: Sequence[str]) -> list[str]:
        """`words`, run on this machine instead."""
        return ["nsenter", "--target", str(self.holder), "--net", "--mount", "--", *words]

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program here to its end."""
        return subprocess.run(
            self.command(words),
            capture_output=True,
            text=True,
            env=None if env is None else dict(env),
            timeout=timeout_s,
            check=False,
        )

    def done(self, *words: str) -> str:
        """What a program said that must succeed."""
        ran = self.run(*words)
        assert ran.returncode == 0, (words, ran.stderr)
        return ran.stdout

    def start(
        self, words: Sequence[str], log: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Starts a program that stays; it's stopped with the machine, if not before."""
        with log.open("ab") as file:
            started = subprocess.Popen(self.command(words), stdout=file, stderr=file, env=dict(env))
        self.running.append(started)
        return started

    def volume(self, path: Path, folder: Path, *, read_only: bool = False) -> None:
        """Puts a folder of the machine below at a path under `VOLUMES`."""
        assert path.is_relative_to(VOLUMES), path
        self.done("mkdir", "-p", str(path))
        self.done("mount", "--bind", str(folder), str(path))
        if read_only:
            self.done("mount", "-o", "remount,bind,ro", str(path))

    def cut(self, *others: "Host") -> None:
        """What is sent from here to these is lost, and nobody is told. None: to and from all."""
        for other in others:
            # Frames go to a card that nobody has: lost, as on a broken line, and not refused.
            self.done(*self._neighbour("replace", other), "lladdr", _NOBODY, "nud", "permanent")
        if not others:
            self.done("ip", "link", "set", "eth0", "down")

    def worsen(self, delay_ms: int, loss_percent: int) -> bool:
        """What leaves here comes later, or never. False: this kernel can't do that."""
        said = f"tc qdisc add dev eth0 root netem delay {delay_ms}ms loss {loss_percent}%"
        return self.run(*said.split()).returncode == 0

    def mend(self, *others: "Host") -> None:
        """Takes a `cut` back."""
        for other in others:
            self.done(*self._neighbour("del", other))
        if not others:
            self.done("ip", "link", "set", "eth0", "up")

    def _neighbour(self, verb: str, other: "Host") -> tuple[str, ...]:
        return ("ip", "neighbour", verb, other.address, "dev", "eth0")

    def stop(self) -> None:
        """Ends what runs here, by SIGTERM and then by force, and the machine with it."""
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        for pid in [*self._left(), self.holder]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.running:
            process.wait()

    def _left(self) -> Iterator[int]:
        """Programs in its network that nobody waits for: a killed program's children."""
        own = Path(f"/proc/{self.holder}/ns/net").readlink()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.holder:
                with suppress(OSError):
                    if (entry / "ns/net").readlink() == own:
                        yield int(entry.name)


@contextmanager
def hosts(networks: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Host]]:
    """Machines by name; each knows the names of those with which it shares a network.

    Args:
        networks: Each machine's networks, which are names only: all hang on one bridge.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simpul-hosts-")))
        switch = _held(stack)
        _enter(switch, "ip", "link", "add", "bridge", "type", "bridge")
        _enter(switch, "ip", "link", "set", "bridge", "up")
        made: dict[str, Host] = {}
        for number, name in enumerate(networks, start=1):
            host = Host(name, f"{_NETWORK}.{number}", _held(stack))
            stack.callback(host.stop)
            _connect(switch, host, number)
            made[name] = host
        for host in made.values():
            known = [
                f"{other.address} {other.name}\n"
                for other in made.values()
                if {*networks[other.name]} & {*networks[host.name]}
            ]
            file = folder / host.name
            file.write_text(f"127.0.0.1 localhost\n{''.join(known)}")
            host.done("mount", "--bind", str(file), "/etc/hosts")
        yield made


def _held(stack: ExitStack) -> int:
    """A process in namespaces of its own that does nothing but hold them."""
    holder = subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", "-ec", "echo; exec sleep infinity"],
        stdout=subprocess.PIPE,
    )
    stack.callback(holder.wait)
    stack.callback(holder.kill)
    assert holder.stdout is not None
    with holder.stdout as said:
        assert said.readline(), "no namespace was made"
    return holder.pid


def _connect(switch: int, host: Host, number: int) -> None:
    _enter(
        switch, "ip", "link", "add", f"to{number}", "type", "veth",
        "peer", "name", "eth0", "netns", str(host.holder),
    )  # fmt: skip
    _enter(switch, "ip", "link", "set", f"to{number}", "master", "bridge", "up")
    host.done("ip", "link", "set", "lo", "up")
    host.done("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
    host.done("ip", "link", "set", "eth0", "up")
    host.done("mount", "-t", "tmpfs", "none", str(VOLUMES))


def _enter(holder: int, *words: str) -> None:
    subprocess.run(["nsenter", "--target", str(holder), "--net", "--", *words], check=True)
