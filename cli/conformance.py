"""`simpul conformance`: a foreign node against the wire standard, from outside."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples
from cli.output import print_done, print_hint, print_json, print_table, progress_bar, refusal
from security.errors import Code

if TYPE_CHECKING:
    from pathlib import Path

    from node.conformance.model import Outcome
    from node.conformance.probe import Parties

EPILOG = examples(
    "simpul conformance node.example.go.id:8442 --home N",
    "simpul conformance 127.0.0.1:9442 --node ID/~candidate-1 --home N --json",
)


def conformance(
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="The link address of the node to check.")
    ],
    home: NodeHomeDir,
    node: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="Who it is; none: the node listed with that address."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a foreign node against the wire standard, with good and bad parcels.

    It speaks as the node of the home, which must be stopped: use one that was enrolled for this.
    No call reaches a service. Exits with 1 unless every check passed.
    """
    import asyncio

    from node.conformance.model import Result
    from node.home import NodeHome

    opened = NodeHome.open(home)
    with opened.lock():
        parties = _parties(opened.path, address, node)
        outcomes = asyncio.run(_made(parties, quiet=as_json))
    passed = sum(outcome.result is Result.PASSED for outcome in outcomes)
    if as_json:
        print_json(
            {
                "node": str(parties.peer),
                "checks": [_row(outcome) for outcome in outcomes],
                "passed": passed,
                "ok": passed == len(outcomes),
            }
        )
    else:
        _print(outcomes, passed)
    if passed < len(outcomes):
        raise typer.Exit(1)


async def _made(parties: "Parties", *, quiet: bool) -> "list[Outcome]":
    from node.conformance.run import CHECKS, run

    outcomes: list[Outcome] = []
    with progress_bar("checks", quiet=quiet) as tell:
        async for outcome in run(parties):
            outcomes.append(outcome)
            tell(len(outcomes), len(CHECKS))
    return outcomes


def _parties(home: "Path", address: str, node: str | None) -> "Parties":
    from node.conformance.home import read_parties
    from node.home import NodeHome
    from runtime.clock import now_ms
    from security.identifiers import NodeId

    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise refusal(Code.REQUEST_MALFORMED, f"{address!r} is no HOST:PORT")
    wanted = None if node is None else NodeId.parse(node)
    return read_parties(NodeHome.open(home), address, wanted, now_ms)


def _print(outcomes: "list[Outcome]", passed: int) -> None:
    print_table(
        ("NUMBER", "CHECK", "SECTION", "RESULT", "SEEN"),
        (
            (
                str(outcome.number),
                outcome.check.name,
                outcome.check.section,
                outcome.result.value,
                _seen(outcome),
            )
            for outcome in outcomes
        ),
        empty="No checks",
    )
    if passed == len(outcomes):
        print_done(f"all {passed} checks passed")
    else:
        print_hint(f"{passed} of {len(outcomes)} checks passed")


def _seen(outcome: "Outcome") -> str:
    from node.conformance.model import Result

    if outcome.result is Result.PASSED:
        return outcome.seen
    expected = " or ".join(sorted(outcome.check.expected))
    return f"{outcome.seen}, expected {expected}. {outcome.detail}".strip()


def _row(outcome: "Outcome") -> dict[str, object]:
    return {
        "number": outcome.number,
        "name": outcome.check.name,
        "section": outcome.check.section,
        "expected": sorted(outcome.check.expected),
        "result": outcome.result.value,
        "seen": outcome.seen,
        "detail": outcome.detail,
    }
