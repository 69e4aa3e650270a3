"""`simpul contract adopt`: another member's contract, ready to be implemented."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples
from cli.output import print_done, print_hint, print_json, print_next, refusal
from security.errors import Code

if TYPE_CHECKING:
    from cli.adopting.skeleton import Adopted
    from simpul.node.v1 import admin_pb2

EPILOG = examples(
    "simpul contract adopt wisata.v1 --home N -o wisata-wakatobi",
    "simpul contract adopt wisata.v1@2 --home N -o wisata-wakatobi",
)
MAX_REVISION = 1000

Named = Annotated[
    str,
    typer.Argument(metavar="PACKAGE[@REV]", help="As in wisata.v1@2; without @: the newest."),
]


def adopt(
    named: Named,
    home: NodeHomeDir,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new or empty folder.")],
    as_json: AsJson = False,
) -> None:
    """Write what is needed to implement a contract that another member published.

    Its .proto files, a Python server that runs and answers every method with UNIMPLEMENTED until
    you write it, and a README with the next commands. Nothing is published.
    """
    from cli.admin import ask_node
    from cli.adopting.skeleton import Adopted, services_of
    from simpul.node.v1 import admin_pb2

    package, revision = read_named(named)
    request = admin_pb2.ShowContractRequest(name=package, revision=revision)
    answer = ask_node(home, lambda stub: stub.ShowContract(request))
    _check_begins(answer)
    card = answer.contract.card
    adopted = Adopted(card.package, answer.revision, card.owner, answer.descriptor_set)
    _check_empty(out)
    written, generated = _write(out, adopted)
    if as_json:
        print_json(
            {
                "package": adopted.package,
                "revision": adopted.revision,
                "owner": adopted.owner,
                "services": list(services_of(adopted)),
                "files": [str(file) for file in written],
                "generated": generated,
            }
        )
        return
    print_done(f"{adopted.package}, revision {adopted.revision}, lies in {out}")
    if not generated:
        print_hint(
            f"there is no compiler here, so {out / 'gen'} is missing: README.md says how to make it"
        )
    print_next(
        f"cat {out / 'README.md'}",
        f"python {out / 'server.py'} --listen 127.0.0.1:50051",
        f"simpul contract check {adopted.package}@{adopted.revision} --home {home}"
        " --target 127.0.0.1:50051",
    )


def read_named(text: str) -> tuple[str, int]:
    """A package and a revision's number, 0 where none is said; raises SimpulError ID_MALFORMED."""
    package, at, number = text.partition("@")
    if not at:
        return package, 0
    if not (number.isascii() and number.isdigit() and 0 < int(number[:9]) <= MAX_REVISION):
        raise refusal(
            Code.ID_MALFORMED,
            f"{text[:200]!a} names no revision: write it as in wisata.v1@2, from 1 on",
        )
    return package, int(number)


def _check_begins(answer: "admin_pb2.ShowContractResponse") -> None:
    from simpul.v1 import directory_pb2

    card = answer.contract.card
    if card.terms.maturity == directory_pb2.CONTRACT_MATURITY_RETIRED:
        instead = card.terms.successor
        raise refusal(
            Code.CONTRACT_RETIRED,
            f"{card.package} is retired, and nobody begins to implement it: "
            + (f"adopt {instead}" if instead else f"ask {card.owner}"),
        )


def _check_empty(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise refusal(
            Code.ALREADY_EXISTS, f"{folder} is not an empty folder: name a new one with --out"
        )


def _write(out: Path, adopted: "Adopted") -> tuple[list[Path], bool]:
    """All files; and whether messages and stubs could be made."""
    from importlib.metadata import version

    from cli.adopting.readme import readme, requirements
    from cli.adopting.skeleton import server_source
    from cli.proto_files import write_protos
    from cli.protos import generate_python

    # First what may be refused, so that nothing lies there by half.
    source = server_source(adopted)
    protos = out / "protos"
    written = write_protos(protos, adopted.descriptor_set)
    names = [file.relative_to(protos).as_posix() for file in written]
    texts = {
        "server.py": source.encode(),
        "README.md": readme(adopted, names).encode(),
        "requirements.txt": requirements(version("grpcio")).encode(),
        "contract.protoset": adopted.descriptor_set,
    }
    for name, content in texts.items():
        try:
            (out / name).write_bytes(content)
        except OSError as error:
            raise refusal(
                Code.CONFIG_INVALID, f"{out / name} can't be written: {error.strerror}"
            ) from error
        written.append(out / name)
    return written, generate_python(out, names)
