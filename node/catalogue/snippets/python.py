"""A client in Python, with the stubs that grpcio-tools makes. Pure."""

from __future__ import annotations

import json
import keyword
import math
import shlex
from typing import Final

from google.protobuf.descriptor import FileDescriptor

from node.catalogue.snippets.called import DEADLINE_S, TOKEN_VARIABLE, Called, parts, tree

_SCALARS: Final = (str, int, float, bytes)


def python(called: Called) -> str:
    """The source."""
    own, other = called.file, called.method.input_type.file
    modules = [_import(own, "_pb2_grpc")]
    if other.name != own.name:
        modules.append(_import(other, "_pb2"))
    else:
        modules.insert(0, _import(own, "_pb2"))
    request, needs_json = _request(called)
    call = f"stub.{called.method.name}"
    if keyword.iskeyword(called.method.name):
        call = f"getattr(stub, {called.method.name!r})"
    sent = "iter([request])" if called.method.client_streaming else "request"
    asked = f"{call}({sent}, metadata=METADATA, timeout={DEADLINE_S})"
    shown = f"    print({asked})"
    if called.method.server_streaming:
        shown = f"    for response in {asked}:\n        print(response)"
    metadata = "".join(f"    ({_text(key)}, {_text(value)}),\n" for key, value in called.metadata)
    secure = f"grpc.secure_channel({_text(called.gateway.address)}, grpc.ssl_channel_credentials())"
    plain = f"grpc.insecure_channel({_text(called.gateway.address)})"
    imports = "\n".join(sorted(["import grpc", *(line for line in modules)], key=_first_import))
    return f"""\
# simpul catalogue show {called.package} --proto protos
# pip install grpcio grpcio-tools
# python -m grpc_tools.protoc -I protos --python_out=. --grpc_python_out=. {_files(called)}
# {TOKEN_VARIABLE} holds the app's token: simpul app add
import os

{imports}
{"from google.protobuf import json_format" + chr(10) if needs_json else ""}
METADATA = (
    ("simpul-token", os.environ[{_text(TOKEN_VARIABLE)}]),
{metadata})

with {secure if called.gateway.tls else plain} as channel:
    stub = {_module(own, "_pb2_grpc")}.{called.service}Stub(channel)
    request = {request}
{shown}
"""


def _request(called: Called) -> tuple[str, bool]:
    """The request's expression, and whether it needs protobuf's JSON."""
    kind = called.method.input_type
    name = _module(kind.file, "_pb2")
    for part in parts(kind):
        name = f"getattr({name}, {part!r})" if keyword.iskeyword(part) else f"{name}.{part}"
    values = tree(called.request)
    if not all(map(_is_plain, values.values())):
        return f"json_format.Parse({_text(called.request_json)}, {name}())", True
    said = [
        f"{key}={_literal(value)}" for key, value in values.items() if not keyword.iskeyword(key)
    ]
    odd = {key: value for key, value in values.items() if keyword.iskeyword(key)}
    return f"{name}({', '.join([*said, *([f'**{odd!r}'] if odd else [])])})", False


def _literal(value: object) -> str:
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    # All of JSON's escapes are Python's, too.
    return json.dumps(text, ensure_ascii=False)


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, _SCALARS)


def _import(file: FileDescriptor, ending: str) -> str:
    folder, _, _ = _dotted(file, ending).rpartition(".")
    module = _module(file, ending)
    if any(map(keyword.iskeyword, folder.split("."))) or not all(
        part.isidentifier() for part in _dotted(file, ending).split(".")
    ):
        return f"{module} = __import__('importlib').import_module({_dotted(file, ending)!r})"
    return f"from {folder} import {module}" if folder else f"import {module}"


def _dotted(file: FileDescriptor, ending: str) -> str:
    """The module that protoc makes of a file."""
    return str(file.name).removesuffix(".proto").replace("-", "_").replace("/", ".") + ending


def _module(file: FileDescriptor, ending: str) -> str:
    last = _dotted(file, ending).rpartition(".")[2]
    return last if last.isidentifier() else f"contract{ending}"


def _files(called: Called) -> str:
    return " ".join(map(shlex.quote, called.files))


def _first_import(line: str) -> tuple[bool, str]:
    # grpc stands apart from what is made of the contract.
    return line != "import grpc", line
