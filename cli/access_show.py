"""`simpul access list`, `inbox`, `show`, `settle`: which agreements there are and what they say."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from cli.access_decide import AgreementArgument
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_hint,
    print_json,
    print_line,
    print_next,
    print_pairs,
    print_table,
    to_dict,
    when,
)

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import Agreement, ShowAgreementResponse

app = group("Look at agreements.")


@app.command("list", epilog=examples("simpul access list --home N", "simpul access list --json"))
def list_agreements(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List the agreements that this node holds, as provider or as consumer."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.ListAgreements(admin_pb2.ListAgreementsRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("AGREEMENT", "SIDE", "STATE", "CONSUMER", "SERVICE", "METHODS", "PURPOSES", "UNTIL"),
        _rows(answer.agreements),
        empty="No agreements: ask for one with simpul access request, or simpul access allow",
    )


@app.command("inbox", epilog=examples("simpul access inbox --home N"))
def inbox(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List the requests and offers that wait for a decision here."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ListAgreementsRequest(waiting=True)
    answer = ask_node(home, lambda stub: stub.ListAgreements(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("AGREEMENT", "STATE", "CONSUMER", "SERVICE", "METHODS", "PURPOSES", "NOTE"),
        (
            (
                item.agreement[:12], item.state, consumers(item), _service(item),
                listed(item.methods), listed(item.purposes), item.note or "-",
            )
            for item in answer.agreements
        ),
        empty="Nothing waits.",
    )  # fmt: skip
    texts = [
        (item.agreement[:12], text.term, text.says)
        for item in answer.agreements
        for text in item.registered
    ]
    if texts:
        print_line("")
        print_table(("AGREEMENT", "PURPOSE", "AS REGISTERED"), texts, empty="")
    for item in answer.agreements[:1]:
        short = item.agreement[:12]
        print_next(f"simpul access show {short}", f"simpul access approve {short}")


@app.command("show", epilog=examples("simpul access show 3f9a20 --home N"))
def show(agreement: AgreementArgument, home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Show all that an agreement says, how it came to be, and what a counter-offer changes."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ShowAgreementRequest(agreement=agreement)
    found = ask_node(home, lambda stub: stub.ShowAgreement(request))
    if as_json:
        print_json(to_dict(found))
        return
    state = found.agreement.state
    print_pairs(
        (
            ("agreement", found.agreement.agreement),
            ("state", state if not found.why else f"{state}: {found.why}"),
            ("note", found.agreement.note or "-"),
            *((item.term, item.says) for item in found.terms),
            *((f"{text.term}, as registered", text.says) for text in found.agreement.registered),
            ("provider's identity key", found.provider_identity_key_id.hex()),
            ("consumer's identity key", found.consumer_identity_key_id.hex()),
            *_delegation(found),
        )
    )
    for hint in found.hints:
        print_hint(hint)
    print_line("")
    print_table(
        ("AT", "STEP", "BY", "REASON", "TOLD"),
        (
            (
                when(step.at_ms), step.step, step.party, step.reason or "-",
                "-" if not step.own else "yes" if step.told else "not yet",
            )
            for step in found.steps
        ),
        empty="No steps are known.",
    )  # fmt: skip
    if found.changes:
        print_line("")
        print_table(
            ("TERM", "ASKED FOR", "OFFERED", ""),
            ((item.term, item.before, item.after, item.direction) for item in found.changes),
            empty="",
        )


@app.command("settle", epilog=examples("simpul access settle --home N"))
def settle(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Ask this node's siblings and partners for agreements and revocations that it has missed.

    After a restore from a backup, before anything else. Exit code 1 while somebody can't be asked.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.SettleAgreements(admin_pb2.SettleAgreementsRequest()))
    if as_json:
        print_json(to_dict(answer))
    else:
        for fault in answer.faults:
            print_hint(f"{fault.code}: {fault.message}")
        if answer.unsettled:
            print_hint(f"Not settled: {listed(answer.unsettled)}")
        if not (answer.faults or answer.unsettled):
            print_done("everybody was asked: nothing is missing here")
    if answer.faults or answer.unsettled:
        raise typer.Exit(1)


def consumers(item: "Agreement") -> str:
    """Who calls, and in whose name where it isn't its own."""
    names = listed(item.consumers)
    return f"{names} for {item.on_behalf_of}" if item.on_behalf_of else names


def _delegation(found: "ShowAgreementResponse") -> Iterable[tuple[str, str]]:
    if found.agreement.delegation:
        yield "delegation", found.agreement.delegation
        yield "delegator's identity key", found.delegator_identity_key_id.hex()


def _rows(agreements: "Iterable[Agreement]") -> Iterable[tuple[str, ...]]:
    for item in agreements:
        yield (
            item.agreement,
            item.side,
            item.state,
            consumers(item),
            _service(item),
            listed(item.methods),
            listed(item.purposes),
            when(item.valid_until_ms),
        )


def _service(item: "Agreement") -> str:
    return item.service if "/" in item.service else f"{item.provider}/{item.service}"
