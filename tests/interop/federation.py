"""Two nodes with the tests' services behind one of them, started by the commands of an operator.

The consumer's gateway is reached as any app reaches it: an address, `simpul-to`, `simpul-token`.
"""

import re
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.interop.generate import PROTOSET
from tests.interop.probe import Probe, running
from tests.scenario.harness import Place, Process, done, read_json, serving, until
from tests.support import slow_line
from tests.support.ports import free_port, node_ports
from tests.support.slow_line import Line

PROVIDER = "ID/DAERAH/53.15"
CONSUMER = "ID/KEMENTERIAN/KOMDIGI"
SUBSYSTEM = f"{PROVIDER}/interop"
APP = f"{CONSUMER}/superapp"
ODD = "simpul.testing.v1.Odd"
SERVICES = ("grpc.testing.TestService", "simpul.testing.v1.Probe")

_SAMPLE = re.compile(r"^(simpul_\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Way:
    """One way to the services: where a client connects, and what it adds to each call."""

    name: str
    target: str
    metadata: tuple[tuple[str, str], ...]

    def with_probe(self, name: str) -> tuple[tuple[str, str | bytes], ...]:
        """Metadata of a call that the probe answers by the behaviour `name`."""
        return (*self.metadata, ("x-probe", name))


@dataclass(frozen=True)
class Ways:
    """The services, directly and through two nodes."""

    direct: Way
    nodes: Way
    probe: Probe
    consumer: Place
    provider: Place

    @property
    def both(self) -> tuple[Way, Way]:
        """Whatever a client does must come out the same on both."""
        return self.direct, self.nodes

    def open_calls(self) -> dict[str, float]:
        """Calls and streaming links that either node holds open, by node and metric."""
        found: dict[str, float] = {}
        for place in (self.consumer, self.provider):
            for name, labels, value in samples(place.metrics):
                if name == "simpul_calls_open" or (name == "simpul_links" and "child" in labels):
                    found[f"{place.id} {name}{labels}"] = value
        assert any("simpul_calls_open" in key for key in found), found
        return found

    def nothing_is_left(self, timeout_s: float = 5.0) -> None:
        """Waits until no node holds a call or a streaming call's link."""
        until(lambda: not any(self.open_calls().values()), timeout_s, "calls to be given back")


def samples(address: str) -> list[tuple[str, str, float]]:
    """The metrics of a node: name, labels, value."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return [(name, labels, float(value)) for name, labels, value in _SAMPLE.findall(text)]


@contextmanager
def federation(
    line: Line | None = None, *, settings: Mapping[str, str] | None = None, **env: str
) -> Iterator[Ways]:
    """A registry and two nodes for a block; gone at its end.

    `line` lies between the nodes, `settings` is what each has more in its `node.toml`, `env` is
    theirs.
    """
    # A short path: sockets have room for about a hundred bytes.
    place = Path(tempfile.mkdtemp(prefix="simpul-", dir="/tmp"))
    try:
        with ExitStack() as stack:
            yield _start(place, stack, line, settings or {}, env)
        _no_traceback(place)
    finally:
        shutil.rmtree(place)


def _start(
    place: Path,
    stack: ExitStack,
    line: Line | None,
    settings: Mapping[str, str],
    env: Mapping[str, str],
) -> Ways:
    registry = place / "r"
    done("registry", "init", "--home", registry)
    process = Process(place / "registry.log", "registry", "serve", "--home", registry)
    stack.callback(process.stop)
    grpc = process.until_file(registry / "run" / "endpoints.json")["grpc"]

    more: dict[str, tuple[object, ...]] = {}
    if line is not None:
        near = f"127.0.0.1:{free_port()}"
        far = stack.enter_context(slow_line.running(line, near))
        more["penyedia"] = ("--listen", near, "--advertise", f"127.0.0.1:{far.port}")

    def join(member: str, name: str) -> AbstractContextManager[tuple[Place, Process]]:
        token = done("registry", "enrol", member, "--node", name, "--home", registry).out.strip()
        done(
            "node", "init", "--home", place / name, "--registry", grpc,
            "--root", registry / "root.json", "--token", token, *node_ports(), *more.get(name, ()),
        )  # fmt: skip
        with (place / name / "node.toml").open("a", encoding="utf-8") as config:
            config.write(settings.get(name, ""))
        return serving(place / name, place / f"{name}.log", **env)

    with ThreadPoolExecutor() as pool:
        joined = list(pool.map(join, (CONSUMER, PROVIDER), ("konsumen", "penyedia")))
    consumer, provider = (stack.enter_context(node)[0] for node in joined)
    services = stack.enter_context(running())
    token = _publish(consumer, provider, services.target)
    return Ways(
        Way("direct", services.target, ()),
        Way("nodes", consumer.gateway, (("simpul-to", SUBSYSTEM), ("simpul-token", token))),
        services.probe,
        consumer,
        provider,
    )


def _publish(consumer: Place, provider: Place, target: str) -> str:
    published = done(
        "service", "publish", "--home", provider.home, "--subsystem", SUBSYSTEM,
        "--target", target, "--protoset", PROTOSET,
        *(word for name in SERVICES for word in ("--service", name)), "--json",
    ).json  # fmt: skip

    def allow(service: str) -> None:
        done(
            "access", "allow", "--home", provider.home, "--consumer", APP,
            "--service", f"{SUBSYSTEM}/{service}",
        )  # fmt: skip

    with ThreadPoolExecutor() as pool:
        allowed = pool.map(allow, SERVICES)
        added = done("app", "add", "interop", "--home", consumer.home, "--subsystem", APP)
        list(allowed)
    token = added.out.strip()
    version = published["directory_version"]
    until(
        lambda: (
            done("node", "status", "--home", consumer.home, "--json").json["directory_version"]
            >= version
        ),
        what="the directory to reach the consumer",
    )
    return token


def serve_odd(ways: Ways, target: str) -> None:
    """Have the provider's node serve `simpul.testing.v1.Odd` from `target`."""
    done(
        "service", "publish", "--home", ways.provider.home, "--subsystem", SUBSYSTEM,
        "--target", target, "--protoset", PROTOSET, "--service", ODD,
    )  # fmt: skip
    if ways.provider.home not in _allowed:
        done(
            "access", "allow", "--home", ways.provider.home, "--consumer", APP,
            "--service", f"{SUBSYSTEM}/{ODD}",
        )  # fmt: skip
        _allowed.add(ways.provider.home)


# The nodes that let `serve_odd`'s service be called.
_allowed: set[Path] = set()


def _no_traceback(place: Path) -> None:
    for log in place.rglob("*.log"):
        text = log.read_text(errors="replace")
        assert "Traceback" not in text, f"{log.name}: {text[text.index('Traceback') :][:3000]}"


__all__ = ["ODD", "Way", "Ways", "federation", "read_json", "samples", "serve_odd"]
