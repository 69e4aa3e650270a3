"""What stands beside an adopted server: a README with the next commands, and requirements. Pure."""

from collections.abc import Sequence
from shlex import quote
from typing import Final

from cli.adopting.skeleton import Adopted, services_of

PROTOC: Final = (
    "python -m grpc_tools.protoc -I protos --python_out=gen --pyi_out=gen --grpc_python_out=gen"
)
ADDRESS: Final = "127.0.0.1:50051"

_README: Final = """\
# {package}, revision {revision}

A server for the contract that {owner} published. `server.py` runs as it is; each method says
UNIMPLEMENTED until you write it.

| | |
|---|---|
| `server.py` | the server: yours to write |
| `protos/` | the contract, with its comments: not yours to change |
| `gen/` | messages and stubs, made of `protos/` |
| `contract.protoset` | the contract, compiled |

It has: {services}.

## Run it

```sh
python -m venv .venv && . .venv/bin/activate
pip install -r requirements.txt
mkdir -p gen
{protoc} \\
    {files}
python server.py --listen {address}
```

## Offer it

```sh
# Does it match the contract? It is asked by reflection.
simpul contract check {package}@{revision} --home N --target {address}
# Into the directory, under one of your member's subsystems.
simpul service publish --home N --subsystem MEMBER/SUBSYSTEM --target {address}
# Nobody calls it before an agreement allows it.
simpul access allow --home N --consumer SUBSYSTEM --service MEMBER/SUBSYSTEM/{service}
```

`CONTRACT_DIFFERS` says what is otherwise than the contract. A field too many is a difference, too:
what the contract doesn't have, nobody has agreed to. Ask {owner} for a further revision, or publish
a contract of your own.

## When the contract has a new revision

`simpul contract show {package} --home N` lists them. Yours goes on by revision {revision}. To
follow, adopt the new one into another folder, and take over `protos/` and what changed.
"""

_REQUIREMENTS: Final = """\
# As the stubs were made; newer ones do as well.
grpcio>={grpc}
grpcio-health-checking>={grpc}
grpcio-reflection>={grpc}
# Makes the stubs.
grpcio-tools>={grpc}
"""


def readme(adopted: Adopted, files: Sequence[str]) -> str:
    """The text of `README.md`.

    Args:
        adopted: What is adopted.
        files: The .proto files below `protos/`.
    """
    services = services_of(adopted)
    return _README.format(
        package=adopted.package,
        revision=adopted.revision,
        owner=adopted.owner,
        services=", ".join(f"`{name}`" for name in services),
        service=services[0],
        protoc=PROTOC,
        files=" ".join(quote(f"protos/{name}") for name in files),
        address=ADDRESS,
    )


def requirements(grpc_version: str) -> str:
    """The text of `requirements.txt`."""
    return _REQUIREMENTS.format(grpc=grpc_version)
