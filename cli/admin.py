"""Channels to the admin sockets of a node and of a registry.

A registry is reached by its home on this machine, or by an operator's profile from another one.

A command is one question: a channel is opened, the method called, the channel closed. It knows no
command. Rules: a program that doesn't answer is NOT_RUNNING, with the command that starts it; a
home that is none, or another program's, is said before anything is tried; what the program refused
is raised as it said it.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import grpc

from runtime.grpc_errors import from_rpc_error
from runtime.grpc_options import channel_options
from runtime.ports import MAX_UNIX_PATH_BYTES
from security.certificate import registry_dns_name
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2_grpc as node_grpc
from simpul.registry.v1 import admin_pb2_grpc as registry_grpc

# The stubs' asynchronous classes exist for the type checker only: hence the quotes below.
Answer = TypeVar("Answer")

# A directory with all of a country's contracts in a listing stays far below it.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
CONNECT_TIMEOUT_S = 2.0

# In the folder of an operator on another machine.
PROFILE_FILE = "operator.json"
KEY_FILE = "operator.pem"


@dataclass(frozen=True, slots=True)
class Program:
    """What answers on an admin socket: its name and the folder it lives in."""

    name: str
    home: Path

    @property
    def socket(self) -> Path:
        """Where it listens; an operator on this machine names a socket as the home."""
        return self.home if self.home.is_socket() else self.home / "run" / "admin.sock"

    def not_running(self) -> SimpulError:
        """The error for a program that doesn't answer."""
        return SimpulError(
            Code.NOT_RUNNING,
            f"no {self.name} answers in {self.home}: "
            f"start it with: simpul {self.name} serve --home {self.home}",
            home=str(self.home),
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """A registry on another machine, and how one operator is known there."""

    home: Path
    name: str
    registry: str
    federation: str
    registry_certificate: str
    certificate: str


def parse_profile(data: bytes, place: str) -> Profile:
    """Reads what `simpul registry operator add` printed; raises SimpulError REQUEST_MALFORMED."""
    try:
        found = json.loads(data)
        keys = ("name", "registry", "federation", "registry_certificate", "certificate")
        values = [found[key] for key in keys]
        if not all(isinstance(value, str) and value for value in values):
            raise ValueError(place)
        return Profile(Path(), *values)
    except (ValueError, KeyError, TypeError) as error:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"{place} is not what `simpul registry operator add` prints: get it again",
        ) from error


def find_node(home: Path) -> Program:
    """The node of a home folder, or behind an operators' socket.

    Raises:
        SimpulError: HOME_MISSING or HOME_FOREIGN.
    """
    if home.is_socket():
        return Program("node", home.absolute())
    return _find("node", "registry", home)


def find_registry(home: Path) -> Program | Profile:
    """The registry of a home folder, or of an operator's profile.

    Raises:
        SimpulError: HOME_MISSING, HOME_FOREIGN; REQUEST_MALFORMED for a profile that is none.
    """
    file = home / PROFILE_FILE
    if file.is_file():
        return replace(parse_profile(file.read_bytes(), str(file)), home=home)
    return _find("registry", "node", home)


def ask_node(
    home: Path, question: "Callable[[node_grpc.NodeAdminAsyncStub], Awaitable[Answer]]"
) -> Answer:
    """Asks the node of `home` one question; raises what it refused with."""

    async def ask() -> Answer:
        async with node_admin(find_node(home)) as stub:
            return await question(stub)

    return asyncio.run(ask())


def ask_registry(
    home: Path, question: "Callable[[registry_grpc.RegistryAdminAsyncStub], Awaitable[Answer]]"
) -> Answer:
    """Asks the registry of `home` one question; raises what it refused with."""

    async def ask() -> Answer:
        async with registry_admin(find_registry(home)) as stub:
            return await question(stub)

    return asyncio.run(ask())


@asynccontextmanager
async def node_admin(program: Program) -> "AsyncIterator[node_grpc.NodeAdminAsyncStub]":
    """A node's admin API, for a block; its refusals leave the block as `SimpulError`."""
    async with _channel(program) as channel:
        yield node_grpc.NodeAdminStub(channel)


@asynccontextmanager
async def registry_admin(
    program: Program | Profile,
) -> "AsyncIterator[registry_grpc.RegistryAdminAsyncStub]":
    """A registry's admin API, for a block; its refusals leave the block as `SimpulError`."""
    opened = _channel(program) if isinstance(program, Program) else _remote(program)
    async with opened as channel:
        yield registry_grpc.RegistryAdminStub(channel)


@asynccontextmanager
async def _channel(program: Program) -> AsyncIterator[grpc.aio.Channel]:
    _knock(program)
    options = channel_options(max_message_bytes=MAX_ANSWER_BYTES)
    async with grpc.aio.insecure_channel(f"unix:{program.socket}", options=options) as channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            told = from_rpc_error(error, what=f"the {program.name}", unreachable=Code.NOT_RUNNING)
            raise program.not_running() if _is_gone(error, told) else told from error


@asynccontextmanager
async def _remote(profile: Profile) -> AsyncIterator[grpc.aio.Channel]:
    key = profile.home / KEY_FILE
    if not key.is_file():
        raise SimpulError(
            Code.HOME_MISSING,
            f"{profile.home} holds no {KEY_FILE}: `simpul registry operator request` makes one",
        )
    credentials = grpc.ssl_channel_credentials(
        profile.registry_certificate.encode(), key.read_bytes(), profile.certificate.encode()
    )
    options = channel_options(
        max_message_bytes=MAX_ANSWER_BYTES, target_name=registry_dns_name(profile.federation)
    )
    async with grpc.aio.secure_channel(profile.registry, credentials, options) as channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            unreachable = Code.REGISTRY_UNREACHABLE
            raise from_rpc_error(error, what="the registry", unreachable=unreachable) from error


def _is_gone(error: grpc.aio.AioRpcError, told: SimpulError) -> bool:
    """Whether the connection broke, and it isn't the program's own word."""
    own = {key for key, _ in error.trailing_metadata() or ()}
    return told.code is Code.NOT_RUNNING and "simpul-error" not in own


def _find(name: str, other: str, home: Path) -> Program:
    home = home.absolute()
    if (home / f"{name}.toml").is_file():
        return Program(name, home)
    if (home / f"{other}.toml").is_file():
        raise SimpulError(
            Code.HOME_FOREIGN, f"{home} is the home of a {other}: give that of a {name} as --home"
        )
    raise SimpulError(
        Code.HOME_MISSING,
        f"{home} is no {name}'s home: `simpul {name} init` makes one, --home names another",
    )


def _knock(program: Program) -> None:
    """Tries the socket: the system's errors are sharper than a channel's."""
    path = str(program.socket)
    if len(path.encode()) > MAX_UNIX_PATH_BYTES:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{path} is too long for a socket (over {MAX_UNIX_PATH_BYTES} bytes): "
            "move the home to a shorter path",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(path)
        except PermissionError as error:
            raise SimpulError(
                Code.NOT_RUNNING,
                f"{path} may not be opened by you: run this as the user that runs the "
                f"{program.name}",
            ) from error
        except OSError as error:
            raise program.not_running() from error
