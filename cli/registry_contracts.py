"""`simpul registry contract`: what members ask for about contracts, discussed and decided."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_json, print_table, refusal, to_dict
from cli.registry_options import Reason
from cli.submissions import print_submission, print_submissions, state_of, word
from security.errors import Code

app = group("Discuss and decide what members ask for about contracts.")

SubmissionId = Annotated[
    int, typer.Argument(metavar="ID", min=1, help="The submission's number in the list.")
]


@app.command("list", epilog=examples("simpul registry contract list --home R"))
def list_submissions(
    home: RegistryHomeDir,
    every: Annotated[bool, typer.Option("--all", help="Those that were decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the submissions that wait."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ListSubmissionsRequest(all=every)
    answer = ask_registry(home, lambda stub: stub.ListSubmissions(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_submissions(answer.submissions)


@app.command("show", epilog=examples("simpul registry contract show 12 --home R"))
def show(submission: SubmissionId, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Show a submission: what it is like, what could be better, and what was said."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ListSubmissionsRequest(id=submission)
    found = ask_registry(home, lambda stub: stub.ListSubmissions(request)).submissions
    if not found:
        raise refusal(Code.NOT_FOUND, f"there is no submission {submission}")
    if as_json:
        print_json(to_dict(found[0]))
        return
    print_submission(found[0])


@app.command("cards", epilog=examples("simpul registry contract cards --home R"))
def cards(home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """List every contract: its owner, its newest revision, how mature it is."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(home, lambda stub: stub.ListContracts(admin_pb2.ListContractsRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("CONTRACT", "REVISION", "MATURITY", "OWNER", "TITLE"),
        (
            (
                card.package,
                str(len(card.revisions)),
                word(type(card.terms).DESCRIPTOR.fields_by_name["maturity"], card.terms.maturity),
                card.owner,
                card.terms.title or "-",
            )
            for card in answer.cards
        ),
        empty="There is no contract yet.",
    )


@app.command(
    "comment",
    epilog=examples("simpul registry contract comment 12 'Could you adopt wisata.v1?' --home R"),
)
def comment(
    submission: SubmissionId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the member's people read.")],
    home: RegistryHomeDir,
    as_json: AsJson = False,
) -> None:
    """Say something about a submission; its member sees it."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.CommentSubmissionRequest(id=submission, text=text)
    answer = ask_registry(home, lambda stub: stub.CommentSubmission(request))
    if as_json:
        print_json(to_dict(answer.submission))
        return
    print_submission(answer.submission)


@app.command("approve", epilog=examples("simpul registry contract approve 12 --home R"))
def approve(
    submission: SubmissionId, home: RegistryHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Publish what was asked for."""
    _decide(submission, home, True, reason, as_json)


@app.command(
    "decline",
    epilog=examples("simpul registry contract decline 12 --reason 'adopt wisata.v1' --home R"),
)
def decline(
    submission: SubmissionId, home: RegistryHomeDir, reason: Reason, as_json: AsJson = False
) -> None:
    """Refuse what was asked for, with a reason."""
    _decide(submission, home, False, reason, as_json)


@app.command(
    "give", epilog=examples("simpul registry contract give wisata.v1 ID/DAERAH/53.16 --home R")
)
def give(
    package: Annotated[str, typer.Argument(metavar="PACKAGE", help="As in wisata.v1.")],
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="Who owns it from now on.")],
    home: RegistryHomeDir,
    as_json: AsJson = False,
) -> None:
    """Make another member the owner of a contract."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.SetContractRequest(package=package, owner=member)
    answer = ask_registry(home, lambda stub: stub.SetContract(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_done(f"{package} is {answer.card.owner}'s")


def _decide(submission: int, home: Path, approve: bool, reason: str, as_json: bool) -> None:
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.DecideSubmissionRequest(id=submission, approve=approve, reason=reason)
    answer = ask_registry(home, lambda stub: stub.DecideSubmission(request))
    if as_json:
        print_json({**to_dict(answer.submission), "directory_version": answer.directory_version})
        return
    print_done(f"submission {submission} is {state_of(answer.submission)}")
