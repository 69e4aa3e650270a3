"""Makes the pages of docs/ that say again what the sources say: `python -m tools.generate_docs`.

    docs/reference/errors.md           every stable code
    docs/reference/configuration.md    every key of node.toml and registry.toml
    docs/reference/cli.md              every command's help
    docs/reference/protos.md           every service and message of protos/
    docs/spec/errors.md                every code with its gRPC status
    docs/spec/example.md               one parcel of the vectors, byte by byte

With --check nothing is written: it exits 1 and names each page that differs from a fresh one.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer
from google.protobuf.descriptor import Descriptor
from pydantic import BaseModel

from cli.main import app
from node.config import ENV_PREFIX, NodeConfig
from registry.config import PREFIX, RegistryConfig
from runtime.config import describe, variable
from security.error_codes import Status
from security.errors import ERRORS
from simpul.v1 import parcel_pb2
from tools import proto_page
from tools.wire_dump import fields

PROJECT: Final = Path(__file__).resolve().parent.parent
VECTORS: Final = PROJECT / "tests" / "conformance" / "vectors"
NOTICE: Final = "<!-- Made by tools/generate_docs.py. Edit what it reads, not this page. -->"
HELP_COLUMNS: Final = 96


def pages() -> Mapping[str, str]:
    """Every generated page's text, by its path below the project."""
    return {
        "docs/reference/errors.md": errors_page(),
        "docs/reference/configuration.md": configuration_page(),
        "docs/reference/cli.md": cli_page(),
        "docs/reference/protos.md": protos_page(),
        "docs/spec/errors.md": spec_errors_page(),
        "docs/spec/example.md": example_page(),
    }


def errors_page() -> str:
    """What each code means and what to do about it."""
    rows = (
        (f"`{code}`", Status(info.grpc_status).name, info.meaning, info.action)
        for code, info in sorted(ERRORS.items())
    )
    return _page(
        "Errors",
        "Every refusal has a stable code. It stands in the `simpul-error` trailer, in sealed "
        "refusals, in logs, and in what `simpul` prints. `simpul explain CODE` says the same as "
        "this page.",
        _table(("code", "gRPC status", "meaning", "what to do"), rows),
    )


def spec_errors_page() -> str:
    """Each code with the status that carries it."""
    rows = (
        (f"`{code}`", f"{info.grpc_status} {Status(info.grpc_status).name}", info.meaning)
        for code, info in sorted(ERRORS.items())
    )
    return _page(
        "Errors",
        "A code, once published, keeps its name, its status and its meaning. A reader treats one "
        "that it doesn't know as `INTERNAL`. How codes travel: [grpc](grpc.md). Which check gives "
        "which code: the page of that check. Some are never sent: they are what a program says of "
        "itself to its operator.",
        _table(("code", "gRPC status", "meaning"), rows),
    )


def configuration_page() -> str:
    """Each key with its type, its default and the variable that overrides it."""
    return _page(
        "Configuration",
        "One TOML file for each program, in its home folder. An unknown key is refused, with the "
        "nearest known one. Every key can be overridden by the environment; a variable of the "
        "prefix that names no key is refused too.",
        *_configuration("node.toml", NodeConfig, ENV_PREFIX),
        *_configuration("registry.toml", RegistryConfig, PREFIX),
    )


def cli_page() -> str:
    """The help of every command."""
    command = typer.main.get_command(app)
    context = command.context_class(
        command, info_name="simpul", terminal_width=HELP_COLUMNS, **command.context_settings
    )
    return _page(
        "The simpul command",
        "Every command's help, as `--help` prints it. `--home` names the node or registry, "
        "`--json` prints stable keys. Exit code 0: done, 1: refused or failed, 2: wrong usage.",
        *_help(command, context),
    )


def protos_page() -> str:
    """Services with their methods, and messages with their fields."""
    files = proto_page.compiled(PROJECT / "protos")
    parts = ["## Services"]
    for name, what, rows in proto_page.services(files):
        parts += [f"### {name}", what, _table(("method", "asked", "answered", "what"), rows)]
    parts.append("## Messages")
    for package, rows in proto_page.messages(files):
        parts += [f"### Of {package}", _table(("field", "type", "what"), rows)]
    return _page(
        "Protos",
        "`simpul.v1` is the wire standard, and what nodes offer to apps. `simpul.node.v1` and "
        "`simpul.registry.v1` are the administration of a node and of a registry, over their Unix "
        "socket or mutual TLS; `simpul` itself uses nothing else.",
        *parts,
    )


def example_page() -> str:
    """One parcel of the vectors: header, first entry, seal."""
    parcels = json.loads((VECTORS / "parcels.json").read_text(encoding="utf-8"))
    parcel = parcels["vectors"][0]
    return _page(
        "A worked example",
        "The first parcel of `tests/conformance/vectors/parcels.json`, field by field. *Bytes* are "
        "a field's tag and, where it has one, its length; a number's own bytes are with them.",
        "## Its header",
        _dump(parcel_pb2.Header.DESCRIPTOR, parcel["header"]),
        "As bytes:",
        _code(parcel["header"]),
        f"Header hash, H(`simpul/v1/header`, header): `{parcel['header_hash']}`",
        "## Its first entry",
        _dump(parcel_pb2.Entry.DESCRIPTOR, parcel["entries"][0]),
        "As bytes:",
        _code(parcel["entries"][0]),
        f"The parcel has {len(parcel['entries'])} entries. The path of this one to the root "
        f"`{parcel['entries_root']}`, nearest hash first:",
        _code("\n".join(parcel["paths"][0])),
        "## Its seal",
        _dump(parcel_pb2.Seal.DESCRIPTOR, parcel["seal"]),
        "A batch of one, so the root is the header hash's leaf hash, SHA-256(00 || header hash). "
        "The signature is Ed25519, under `simpul/v1/seal`, over u64(1) || root, by the key "
        f"`{parcels['public_key']}`.",
    )


def _configuration(file: str, model: type[BaseModel], prefix: str) -> Iterator[str]:
    yield f"## {file}"
    yield f"`{variable(prefix, 'section.key')}` overrides `section.key`."
    rows = []
    for key in describe(model):
        default = "computed" if _is_computed(model, key.key) else key.default
        default = default if default in {"computed", "required", "none"} else f"`{default}`"
        rows.append((f"`{key.key}`", key.type, default, key.doc))
    yield _table(("key", "type", "default", "meaning"), rows)


def _is_computed(model: type[BaseModel], key: str) -> bool:
    """Whether the default depends on the machine, and so has no place on a page."""
    *sections, name = key.split(".")
    for section in sections:
        inner = model.model_fields[section].annotation
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            raise TypeError(f"{section} of {key} is no section")
        model = inner
    return model.model_fields[name].default_factory is not None


def _help(command: Any, context: Any) -> Iterator[str]:  # noqa: ANN401  (typer names no such type)
    yield f"## {context.command_path}"
    yield _code("\n".join(line.rstrip() for line in command.get_help(context).splitlines()))
    if not hasattr(command, "list_commands"):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if not inner.hidden:
            yield from _help(inner, inner.context_class(inner, info_name=name, parent=context))


def _dump(descriptor: Descriptor, data_hex: str) -> str:
    rows = (
        (f"`{field.prefix}`", field.name, f"`{field.value}`")
        for field in fields(descriptor, bytes.fromhex(data_hex))
    )
    return _table(("bytes", "field", "value"), rows)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", NOTICE, *parts)) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"```\n{text}\n```"


def main() -> int:
    """Writes what differs, or with --check names it. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes the pages of docs/ that repeat sources.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check: bool = parser.parse_args().check
    # What help says must not depend on who makes the page.
    for name in [name for name in os.environ if name.startswith("SIMPUL_")]:
        del os.environ[name]

    differing = 0
    for name, text in pages().items():
        path = PROJECT / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        differing += 1
        if check:
            print(f"{name} isn't what the sources say: run python -m tools.generate_docs")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote   {name}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
