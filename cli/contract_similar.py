"""`simpul contract similar`: whether somebody has made it already, before it is published."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples
from cli.output import plain, print_hint, print_json, print_line, print_next, print_table, to_dict

EPILOG = examples(
    "simpul contract similar pulau/v1/pulau.proto --home N",
    "simpul contract similar pulau.protoset --home N --json",
    "simpul contract similar wisata.v1 --home N",
)


def similar(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...|PACKAGE",
            help=".proto files, one FileDescriptorSet, or a contract that is published.",
        ),
    ],
    home: NodeHomeDir,
    package: Annotated[
        str, typer.Option(metavar="PACKAGE", help="Where the files have services of several.")
    ] = "",
    member: Annotated[
        str,
        typer.Option(
            metavar="MEMBER",
            help="Who would publish it, whose other versions of it don't count; the node's own.",
        ),
    ] = "",
    include: Annotated[
        list[Path] | None,
        typer.Option(
            "--include",
            "-I",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="The folder that imports are relative to; the working folder by default.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the contracts that are most like one, what they share, and who uses them.

    The registry compares, as it does on publishing: names by their meaning in Indonesian and
    English, and the shape of messages. Nothing is published.
    """
    from cli.admin import ask_node
    from cli.protos import read_contract
    from simpul.node.v1 import admin_pb2

    files = [Path(each) for each in what]
    published = (
        len(files) == 1 and not files[0].suffix.startswith(".proto") and not files[0].exists()
    )
    request = admin_pb2.FindSimilarRequest(
        package=what[0] if published else package,
        descriptor_set=b"" if published else read_contract(_existing(files), include or []),
        member=member,
    )
    answer = ask_node(home, lambda stub: stub.FindSimilar(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("LIKE", "HOW MUCH", "REVISION", "OWNER", "USED BY"),
        (
            (
                found.package,
                f"{found.likeness:.0%}{' (close)' if found.close else ''}",
                str(found.revision),
                found.owner,
                ", ".join(found.users) or "nobody yet",
            )
            for found in answer.similar
        ),
        empty=f"No contract is like {answer.package}.",
    )
    for found in answer.similar:
        for shared in found.shared:
            print_line(plain(f"{found.package}: {shared}"))
    close = [found for found in answer.similar if found.close]
    if close:
        print_hint(
            "one that is close is adopted, or published with a reason (--why-not), and an operator "
            "of the registry decides"
        )
        print_next(f"simpul contract adopt {close[0].package} --home {home} -o DIR")


def _existing(files: list[Path]) -> list[Path]:
    for file in files:
        if not file.is_file():
            raise typer.BadParameter(f"there is no file {file}")
    return files
