"""`simpul contract`: the contracts that services implement, and the way to publish one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import contract_adopt, contract_check, contract_similar
from cli.contract_settings import (
    Licence,
    Maturity,
    Regions,
    Steward,
    Successor,
    Title,
    rules_for,
    settings,
)
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    plain,
    print_done,
    print_json,
    print_line,
    print_next,
    print_pairs,
    print_table,
    refusal,
    to_dict,
    when,
)
from cli.proto_files import write_protos
from cli.protos import read_contract
from cli.submissions import (
    print_advice,
    print_similar,
    print_submission,
    print_submissions,
    state_of,
    word,
)
from security.errors import Code

if TYPE_CHECKING:
    from simpul.node.v1 import admin_pb2
    from simpul.v1 import directory_pb2, registry_pb2

app = group("Publish contracts, see who implements them, and talk with the registry about them.")

app.command("similar", epilog=contract_similar.EPILOG)(contract_similar.similar)
app.command("adopt", epilog=contract_adopt.EPILOG)(contract_adopt.adopt)
app.command("check", epilog=contract_check.EPILOG)(contract_check.check)

Package = Annotated[str, typer.Argument(metavar="PACKAGE", help="As in wisata.v1.")]
SubmissionId = Annotated[
    int, typer.Argument(metavar="ID", min=1, help="As in simpul contract submissions.")
]


@app.command(
    "publish",
    epilog=examples(
        "simpul contract publish wisata/v1/wisata.proto --home N --member ID/DAERAH/53.15",
        "simpul contract publish wisata.protoset --home N --member ID/DAERAH/53.15"
        " --title 'Islands' --licence CC-BY-4.0 --maturity trial",
    ),
)
def publish(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            exists=True,
            dir_okay=False,
            readable=True,
            help=".proto files, or one FileDescriptorSet with all imports.",
        ),
    ],
    home: NodeHomeDir,
    member: Annotated[
        str, typer.Option(metavar="MEMBER", help="Who owns it; hosted by this node.")
    ],
    package: Annotated[
        str, typer.Option(metavar="PACKAGE", help="Where the files have services of several.")
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
    title: Title = None,
    steward: Steward = None,
    maturity: Maturity = None,
    regions: Regions = None,
    licence: Licence = None,
    why_not: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Why none of the contracts much like it is adopted."),
    ] = "",
    follows: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="The revision that it follows; the newest known by default."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a contract, or its next revision.

    The registry refuses what breaks those who go by the revision before, and says what. Comments in
    the .proto files become the contract's documentation.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.PublishContractRequest(
        member=member,
        descriptor_set=read_contract(files, include or []),
        package=package,
        settings=settings(title, steward, maturity, regions, licence),
        why_not=why_not,
        follows=follows,
    )
    answer = ask_node(home, lambda stub: stub.PublishContract(request))
    _tell(answer.submission, answer.directory_version, home, as_json)


@app.command("list", epilog=examples("simpul contract list --home N"))
def list_contracts(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List the federation's contracts."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.ListContracts(admin_pb2.ListContractsRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("CONTRACT", "REVISION", "MATURITY", "OWNER", "SERVICES THAT GO BY IT", "TITLE"),
        (
            (
                item.card.package,
                str(len(item.card.revisions)),
                _maturity(item.card),
                item.card.owner,
                str(len(item.users)),
                item.card.terms.title or "-",
            )
            for item in answer.contracts
        ),
        empty="There is no contract yet: simpul contract publish --help",
    )


@app.command(
    "show",
    epilog=examples(
        "simpul contract show wisata.v1 --home N",
        "simpul contract show wisata.v1 --revision 2 --protoset wisata.protoset --home N",
        "simpul contract show wisata.v1 --proto protos --home N",
    ),
)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A package, or one of its services.")],
    home: NodeHomeDir,
    revision: Annotated[int, typer.Option(metavar="N", min=0, help="0: the newest.")] = 0,
    protoset: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write its FileDescriptorSet, with comments, to FILE."),
    ] = None,
    proto: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write its .proto files, with comments, below DIR."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a contract: its card, its revisions, its comments, and who implements it."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ShowContractRequest(name=name, revision=revision)
    answer = ask_node(home, lambda stub: stub.ShowContract(request))
    if protoset is not None:
        protoset.write_bytes(answer.descriptor_set)
    written = [] if proto is None else write_protos(proto, answer.descriptor_set)
    if as_json:
        print_json(to_dict(answer))
        return
    _print_card(answer)
    for file in [*([] if protoset is None else [protoset]), *written]:
        print_done(f"wrote {file}")


@app.command(
    "set",
    epilog=examples(
        "simpul contract set wisata.v1 --maturity trial --licence CC-BY-4.0 --home N",
        "simpul contract set wisata.v1 --enclosing --choice ordered --home N",
    ),
)
def set_contract(
    package: Package,
    home: NodeHomeDir,
    title: Title = None,
    steward: Steward = None,
    maturity: Maturity = None,
    regions: Regions = None,
    licence: Licence = None,
    enclosing: Annotated[
        bool | None,
        typer.Option(
            "--enclosing/--no-enclosing",
            help="Whether who implements it for a region answers for those within, too.",
        ),
    ] = None,
    choice: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Which of a region's providers is asked: one, ordered, round-robin, nearest.",
        ),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Whose rules those are; all of the package's by default."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what a contract's card says, without a new revision."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    said = settings(title, steward, maturity, regions, licence)
    if enclosing is not None or choice is not None:
        shown = admin_pb2.ShowContractRequest(name=package)
        before = ask_node(home, lambda stub: stub.ShowContract(shown))
        said.rules.extend(rules_for(before, service or [], enclosing, choice))
    request = admin_pb2.SetContractRequest(package=package, settings=said)
    answer = ask_node(home, lambda stub: stub.SetContract(request))
    _tell(answer.submission, answer.directory_version, home, as_json)


@app.command(
    "retire",
    epilog=examples("simpul contract retire wisata.v1 --successor wisata.v2 --home N"),
)
def retire(
    package: Package, home: NodeHomeDir, successor: Successor = None, as_json: AsJson = False
) -> None:
    """Let nobody begin to implement a contract. Who implements it goes on."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    said = admin_pb2.ContractSettings(maturity="retired", successor=successor)
    request = admin_pb2.SetContractRequest(package=package, settings=said)
    answer = ask_node(home, lambda stub: stub.SetContract(request))
    _tell(answer.submission, answer.directory_version, home, as_json)


@app.command(
    "submissions",
    epilog=examples(
        "simpul contract submissions --home N", "simpul contract submissions 12 --home N"
    ),
)
def submissions(
    home: NodeHomeDir,
    submission: Annotated[
        int, typer.Argument(metavar="[ID]", min=0, help="Only this one, with its thread.")
    ] = 0,
    every: Annotated[bool, typer.Option("--all", help="Those that were decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what this node's members asked the registry for, or show one with its thread."""
    found = _submissions(home, submission, every)
    if as_json:
        print_json({"submissions": [to_dict(item) for item in found]})
    elif submission:
        print_submission(found[0])
    else:
        print_submissions(found)


@app.command(
    "comment", epilog=examples("simpul contract comment 12 'Ours has harbours, too.' --home N")
)
def comment(
    submission: SubmissionId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the registry's people read.")],
    home: NodeHomeDir,
    as_json: AsJson = False,
) -> None:
    """Say something about a submission."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.CommentSubmissionRequest(id=submission, text=text)
    answer = ask_node(home, lambda stub: stub.CommentSubmission(request))
    if as_json:
        print_json(to_dict(answer.submission))
        return
    print_submission(answer.submission)


@app.command("withdraw", epilog=examples("simpul contract withdraw 12 --home N"))
def withdraw(submission: SubmissionId, home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Take a submission back that isn't decided."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    found = _submissions(home, submission, True)[0]
    request = admin_pb2.WithdrawChangeRequest(number=found.change_number)
    ask_node(home, lambda stub: stub.WithdrawChange(request))
    if as_json:
        print_json({"id": submission, "state": "withdrawn"})
        return
    print_done(f"submission {submission} is withdrawn")


def _submissions(home: Path, submission: int, every: bool) -> "list[registry_pb2.Submission]":
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ListSubmissionsRequest(id=submission, all=every)
    found = list(ask_node(home, lambda stub: stub.ListSubmissions(request)).submissions)
    if submission and not found:
        raise refusal(Code.NOT_FOUND, f"there is no submission {submission}")
    return found


def _tell(submission: "registry_pb2.Submission", version: int, home: Path, as_json: bool) -> None:
    if as_json:
        print_json({**to_dict(submission), "directory_version": version})
        return
    print_similar(submission)
    print_advice(submission.advice)
    if version:
        print_done(
            f"{submission.package} is published, at revision {submission.revision}; the directory "
            f"is at version {version}"
        )
        print_next(f"simpul contract show {submission.package} --home {home}")
        return
    print_done(
        f"submission {submission.id} is {state_of(submission)}: an operator of the registry "
        f"decides, because {submission.waits_because}"
    )
    print_next(f"simpul contract submissions {submission.id} --home {home}")


def _print_card(answer: "admin_pb2.ShowContractResponse") -> None:
    card = answer.contract.card
    terms = card.terms
    print_pairs(
        (
            ("contract", f"{card.package}, revision {answer.revision} of {len(card.revisions)}"),
            ("title", terms.title or "-"),
            ("maturity", _maturity(card)),
            ("owner", card.owner),
            ("steward", terms.steward or "-"),
            ("for regions", ", ".join(terms.regions) or "all"),
            ("licence", terms.licence or "-"),
            ("successor", terms.successor or "-"),
        )
    )
    print_table(
        ("REVISION", "PUBLISHED", "BY", "SERVICES"),
        (
            (
                str(item.number),
                when(item.published_at_ms),
                item.publisher,
                ", ".join(service.service for service in item.services),
            )
            for item in card.revisions
        ),
        empty="",
    )
    for rules in terms.rules:
        choice = word(type(rules.regions).DESCRIPTOR.fields_by_name["choice"], rules.regions.choice)
        within = (
            "also for the regions within" if rules.regions.enclosing else "for its region alone"
        )
        print_line(f"{rules.service} by region: {within}; of several providers: {choice}")
    for item in answer.documentation.comments:
        said = " ".join(f"{item.leading} {item.trailing}".split())
        print_line(plain(f"{item.element}: {said}"))
    print_table(
        ("SERVICE", "REVISION"),
        ((user.service_id, str(user.revision)) for user in answer.contract.users),
        empty="Nobody implements it yet.",
    )


def _maturity(card: "directory_pb2.ContractCard") -> str:
    return word(type(card.terms).DESCRIPTOR.fields_by_name["maturity"], card.terms.maturity)
