"""The server that a contract's adopter begins with: one Python file, of the contract's descriptors.

It has a class for each service of the package, with a method for each of the contract's, under the
comments that stand at it; each says UNIMPLEMENTED until it is written, and the line after that
shows what it answers with. Health and reflection are served, so the node can ask it what it is.

Pure. What a contract says goes into comments only, line by line, and names are what protobuf takes
for names; one that Python or gRPC's own generator can't take is refused.
"""

import keyword
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from cli.output import refusal
from security.errors import Code

# What the server imports under this name itself.
_HEALTH: Final = "health_pb2"
_SERVICE: Final = 6
_METHOD: Final = 2

_HEAD: Final = '''\
"""{title}, revision {revision}: python server.py --listen 127.0.0.1:50051

A server that implements the contract as {owner} published it. Each method says UNIMPLEMENTED until
it is written: take the line with not_written away, and answer. README.md has the next commands.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

# Where the messages and stubs lie; README.md says how they are made again.
sys.path.insert(0, str(Path(__file__).parent / "gen"))

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

{imports}

Context = grpc.aio.ServicerContext[Any, Any]

SERVICES = ({services},)
STOP_GRACE_S = 5.0


async def not_written(context: Context) -> NoReturn:
    """What every method says until it is written."""
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this method is not written yet")
'''

_TAIL: Final = '''\


async def add_services(server: grpc.aio.Server) -> None:
    """What this server answers: the contract's services, health and reflection."""
{adding}
    alive = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(alive, server)
    for name in SERVICES:
        await alive.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection(
        (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )


async def serve(listen: str) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # Without this a second server on the same port would start, and share its calls.
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    await add_services(server)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError:
        print(f"can't listen on {listen}: in use, or no address of this machine", file=sys.stderr)
        return 1
    await server.start()
    where = listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
    print(f"listening on {where}", flush=True)
    await stop.wait()
    await server.stop(STOP_GRACE_S)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Your node reaches it here: nobody else needs to.
    parser.add_argument("--listen", default="127.0.0.1:50051", help="HOST:PORT or unix:PATH")
    sys.exit(asyncio.run(serve(parser.parse_args().listen)))
'''


@dataclass(frozen=True, slots=True)
class Adopted:
    """A revision of a contract, as it is adopted."""

    package: str
    revision: int
    owner: str
    # With comments.
    descriptor_set: bytes


@dataclass(frozen=True, slots=True)
class _Type:
    """Where a message's class is: the module's name here, and the class in it."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def services_of(adopted: Adopted) -> tuple[str, ...]:
    """The full names of the package's services that have methods."""
    return tuple(
        f"{adopted.package}.{service.name}"
        for file in _files(adopted)
        if file.package == adopted.package
        for service in file.service
        if service.method
    )


def server_source(adopted: Adopted) -> str:
    """The text of `server.py`.

    Raises:
        SimpulError: PROTOSET_INVALID, if a name can't stand in a Python program.
    """
    return _Skeleton(adopted).text()


def module_path(file: str) -> tuple[str, str]:
    """The package and module that protoc's Python makes of a file: `wisata.v1`, `wisata_pb2`."""
    path = file.removesuffix(".proto").replace("-", "_").replace("/", ".")
    package, _, name = path.rpartition(".")
    return package, f"{name}_pb2"


def _files(adopted: Adopted) -> Sequence[FileDescriptorProto]:
    return FileDescriptorSet.FromString(adopted.descriptor_set).file


class _Skeleton:
    """One server, on its way to text."""

    def __init__(self, adopted: Adopted) -> None:
        self._adopted = adopted
        self._modules: dict[str, str] = {}
        self._types: dict[str, tuple[FileDescriptorProto, str]] = {}
        for file in _files(adopted):
            prefix = f"{file.package}." if file.package else ""
            for message in file.message_type:
                self._know(file, prefix, message, "")

    def text(self) -> str:
        classes, adding = [], []
        for file in _files(self._adopted):
            said = {tuple(at.path): at for at in file.source_code_info.location}
            for number, service in enumerate(file.service):
                if file.package != self._adopted.package or not service.method:
                    continue
                stubs, name = f"{self._module(file)}_grpc", service.name
                _check_name(name)
                adding.append(f"    {stubs}.add_{name}Servicer_to_server({name}Server(), server)")
                path = (_SERVICE, number)
                head = ["", "", *_comment(said.get(path), "")]
                head.append(f"class {name}Server({stubs}.{name}Servicer):")
                head.append(f'    """{file.package}.{name}."""')
                comments = [
                    _comment(said.get((*path, _METHOD, index)), "    ")
                    for index in range(len(service.method))
                ]
                methods = chain.from_iterable(map(self._method, service.method, comments))
                classes += [*head, *methods]
        start = _HEAD.format(
            title=self._adopted.package,
            revision=self._adopted.revision,
            owner=self._adopted.owner,
            imports="\n".join(self._imports()),
            services=", ".join(f'"{name}"' for name in services_of(self._adopted)),
        )
        return start + "\n".join(classes) + "\n" + _TAIL.replace("{adding}", "\n".join(adding))

    def _method(self, method: MethodDescriptorProto, comment: Sequence[str]) -> Iterator[str]:
        _check_name(method.name)
        asked, told = self._type(method.input_type), self._type(method.output_type)
        takes = f"request: {asked}"
        if method.client_streaming:
            takes = f"request_iterator: AsyncIterator[{asked}]"
        gives = f"AsyncIterator[{told}]" if method.server_streaming else str(told)
        yield ""
        yield from comment
        yield f"    async def {method.name}("
        yield f"        self, {takes}, context: Context"
        yield f"    ) -> {gives}:"
        yield "        await not_written(context)"
        answer = "yield" if method.server_streaming else "return"
        if method.client_streaming:
            yield "        async for request in request_iterator:"
            inside = f"{answer} {told}()" if method.server_streaming else "print(request)"
            yield f"            {inside}"
            if method.server_streaming:
                return
        yield f"        {answer} {told}()"

    def _imports(self) -> Iterator[str]:
        for name, alias in sorted(self._modules.items()):
            yield _import(*module_path(name), alias)
        for file in _files(self._adopted):
            if file.package == self._adopted.package and any(s.method for s in file.service):
                package, module = module_path(file.name)
                yield _import(package, f"{module}_grpc", f"{self._module(file)}_grpc")

    def _module(self, file: FileDescriptorProto) -> str:
        """The name under which a file's module is known here; two of one name get a number."""
        if file.name not in self._modules:
            package, module = module_path(file.name)
            for part in (*package.split("."), module):
                if part:
                    _check_name(part)
            taken = {_HEALTH, *self._modules.values()}
            others = (f"{module}_{number}" for number in count(2))
            self._modules[file.name] = next(
                name for name in chain([module], others) if name not in taken
            )
        return self._modules[file.name]

    def _type(self, full: str) -> _Type:
        file, name = self._types[full.removeprefix(".")]
        for part in name.split("."):
            _check_name(part)
        return _Type(self._module(file), name)

    def _know(
        self, file: FileDescriptorProto, prefix: str, message: DescriptorProto, outer: str
    ) -> None:
        self._types[f"{prefix}{message.name}"] = file, f"{outer}{message.name}"
        for nested in message.nested_type:
            self._know(file, f"{prefix}{message.name}.", nested, f"{outer}{message.name}.")


def _import(package: str, module: str, alias: str) -> str:
    source = f"from {package} import {module}" if package else f"import {module}"
    return source if alias == module else f"{source} as {alias}"


def _check_name(name: str) -> None:
    if keyword.iskeyword(name) or not name.isidentifier():
        raise refusal(
            Code.PROTOSET_INVALID,
            f"the contract has a name that Python can't take: {name[:200]!a}: take its .proto "
            "files (simpul contract show PACKAGE --proto DIR), and another language",
        )


def _comment(location: object, indent: str) -> list[str]:
    leading = str(getattr(location, "leading_comments", ""))
    lines = [
        "".join(char if char.isprintable() else " " for char in line).strip()
        for line in leading.splitlines()
    ]
    while lines and not lines[-1]:
        lines.pop()
    return [f"{indent}# {line}".rstrip() for line in lines]
