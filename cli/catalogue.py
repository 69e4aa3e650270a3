"""`simpul catalogue`: which contracts there are, who implements them, and how to call them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    print_done,
    print_hint,
    print_json,
    print_line,
    print_pairs,
    print_table,
    refusal,
    to_dict,
    when,
)
from cli.proto_files import write_protos
from cli.submissions import word
from security.errors import Code

if TYPE_CHECKING:
    from simpul.v1 import catalogue_pb2, directory_pb2

app = group("Find contracts, see who implements them, and get a client for one.")


class Language(StrEnum):
    """What a client is written in."""

    PYTHON = "python"
    GO = "go"
    JAVA = "java"
    JAVASCRIPT = "javascript"
    GRPCURL = "grpcurl"


@app.command(
    "search",
    epilog=examples(
        "simpul catalogue search pulau --home N",
        "simpul catalogue search island ferry --region 53.15 --home N",
        "simpul catalogue search --field 'nomor paspor' --class KEMENTERIAN --home N",
    ),
)
def search(
    home: NodeHomeDir,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...",
            help="Words of names and comments, Indonesian or English; none: every contract.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        str,
        typer.Option(
            metavar="CODE", help="Somebody answers for it: 53.15, 53.* (within) or * (anywhere)."
        ),
    ] = "",
    member_class: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="A member of this class implements it.")
    ] = "",
    field: Annotated[
        str, typer.Option(metavar="WORDS", help="A field of a message has these words in its name.")
    ] = "",
    maturity: Annotated[
        str, typer.Option(metavar="WORD", help="draft, trial, recommended or retired.")
    ] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Contracts on a page.")
    ] = 20,
    page: Annotated[
        str, typer.Option(metavar="TOKEN", help="What the page before said of the next.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Search the contracts that this node knows; all that is said must hold.

    Each word is found by itself, its beginning, and words of the same meaning: pulau finds Island.
    """
    from cli.admin import ask_node
    from simpul.v1 import catalogue_pb2

    request = catalogue_pb2.CatalogueSearchRequest(
        text=_text(" ".join(words or ())),
        region=_text(region),
        member_class=_text(member_class),
        field=_text(field),
        maturity=_maturity(maturity),
        page_size=limit,
        page_token=_text(page),
    )
    answer = ask_node(home, lambda stub: stub.SearchCatalogue(request))
    if as_json:
        print_json(to_dict(answer))
        return
    columns = ["CONTRACT", "TITLE", "MATURITY", "REVISION", "IMPLEMENTED BY", "OWNER"]
    if field:
        columns.append("FIELDS")
    print_table(
        columns,
        (_row(hit)[: len(columns)] for hit in answer.hits),
        empty="No contract matches: say less, or other words",
    )
    if answer.next_page_token:
        print_hint(f"{answer.total} in all; for the next: --page {answer.next_page_token}")


@app.command(
    "show",
    epilog=examples(
        "simpul catalogue show wisata.v1 --home N",
        "simpul catalogue show wisata.v1 --proto protos --home N",
        "simpul catalogue show wisata.v1.Wisata/List --snippet python --region 53.15 --home N",
        'simpul catalogue show wisata.v1.Wisata/Get --snippet go -d \'{"code": "1"}\' --home N',
    ),
)
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A package, a service, or a method: wisata.v1.Wisata/List."
        ),
    ],
    home: NodeHomeDir,
    revision: Annotated[
        int, typer.Option(min=0, metavar="N", help="This one.", show_default="the newest")
    ] = 0,
    days: Annotated[
        int, typer.Option(min=1, max=365, metavar="N", help="Count calls of the last N days.")
    ] = 30,
    proto: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write its .proto files there.")
    ] = None,
    snippet: Annotated[
        Language | None, typer.Option(help="Print a client that calls the method, and only that.")
    ] = None,
    to: Annotated[
        str,
        typer.Option(metavar="SUBSYSTEM", help="Whom the client calls.", show_default="the first"),
    ] = "",
    region: Annotated[
        str, typer.Option(metavar="CODE", help="The client calls whoever answers for this region.")
    ] = "",
    data: Annotated[
        str, typer.Option("--data", "-d", metavar="JSON", help="What the client asks.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show a contract: its methods, who implements it where, and this node's own use of it.

    No node knows how much others use a service: the calls are those of this node's journal.
    """
    if snippet is not None:
        _snippet(home, name, snippet, to, region, data, as_json=as_json)
        return
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2
    from simpul.v1 import catalogue_pb2

    contract = _text(name.partition("/")[0])
    request = catalogue_pb2.CatalogueShowRequest(name=contract, revision=revision, days=days)
    answer = ask_node(home, lambda stub: stub.ShowCatalogue(request))
    written: list[Path] = []
    if proto is not None:
        wanted = admin_pb2.ShowContractRequest(name=contract, revision=answer.revision)
        found = ask_node(home, lambda stub: stub.ShowContract(wanted))
        written = write_protos(proto, found.descriptor_set)
    if as_json:
        print_json({**to_dict(answer), "files": [str(file) for file in written]})
        return
    _print_contract(answer)
    for file in written:
        print_done(f"wrote {file}")


def _snippet(
    home: Path, name: str, language: Language, to: str, region: str, data: str, *, as_json: bool
) -> None:
    from cli.admin import ask_node
    from simpul.v1 import catalogue_pb2

    request = catalogue_pb2.CatalogueSnippetRequest(
        method=_text(name),
        language=catalogue_pb2.CatalogueLanguage.Value(
            f"CATALOGUE_LANGUAGE_{language.value.upper()}"
        ),
        to=_text(to),
        region=_text(region),
        request_json=_text(data),
    )
    answer = ask_node(home, lambda stub: stub.SnippetCatalogue(request))
    if as_json:
        print_json({"language": language.value, "text": answer.text})
        return
    print_line(answer.text.rstrip("\n"))


def _print_contract(answer: "catalogue_pb2.CatalogueShowResponse") -> None:
    card = answer.card
    terms = card.terms
    print_pairs(
        (
            ("contract", f"{card.package}, revision {answer.revision} of {len(card.revisions)}"),
            ("title", terms.title or "-"),
            ("maturity", _word(terms.maturity)),
            ("owner", card.owner),
            ("steward", terms.steward or "-"),
            ("for regions", ", ".join(terms.regions) or "all"),
            ("licence", terms.licence or "-"),
            ("successor", terms.successor or "-"),
        )
    )
    print_table(
        ("METHOD", "REQUEST", "RESPONSE", "WHAT IT DOES"),
        (
            (
                f"{service.name}/{method.name}",
                _side(method.request, method.client_streaming),
                _side(method.response, method.server_streaming),
                " ".join(method.comment.split()) or "-",
            )
            for service in answer.services
            for method in service.methods
        ),
        empty="",
    )
    print_table(
        ("IMPLEMENTED BY", "MEMBER", "REVISION", "REGIONS", "STATE", "ASKED", "ANSWERED"),
        (
            (
                made.service_id,
                made.member_name or "-",
                str(made.revision),
                ", ".join(made.regions) or "-",
                "active" if made.active else "suspended",
                str(made.calls),
                str(made.answered),
            )
            for made in answer.implementations
        ),
        empty="Nobody implements it yet",
    )
    if answer.implementations:
        atleast = "at least " if answer.counted_in_part else ""
        print_hint(
            f"{atleast}so many calls of this node's own journal since "
            f"{when(answer.counted_since_ms)}: what others do, no node knows"
        )


def _row(hit: "catalogue_pb2.CatalogueHit") -> tuple[str, ...]:
    return (
        hit.package,
        hit.title or "-",
        _word(hit.maturity),
        str(hit.revision),
        str(hit.implementations),
        hit.owner,
        ", ".join(hit.fields),
    )


def _side(message: str, streams: bool) -> str:
    return f"stream {message}" if streams else message


def _word(maturity: int) -> str:
    from simpul.v1 import directory_pb2

    return word(directory_pb2.ContractTerms.DESCRIPTOR.fields_by_name["maturity"], maturity)


def _maturity(text: str) -> "directory_pb2.ContractMaturity.ValueType":
    from security.contract_card import Maturity
    from simpul.v1 import directory_pb2

    if not text:
        return directory_pb2.CONTRACT_MATURITY_UNSPECIFIED
    try:
        return directory_pb2.ContractMaturity.ValueType(Maturity[text.upper()].value)
    except KeyError:
        words = ", ".join(item.word for item in Maturity)
        raise refusal(
            Code.REQUEST_MALFORMED, f"{text[:50]!a} is no maturity: it is one of {words}"
        ) from None


def _text(text: str) -> str:
    """What a shell gave; raises SimpulError REQUEST_MALFORMED where it is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refusal(Code.REQUEST_MALFORMED, f"{text[:50]!a} is no UTF-8") from None
    return text
