"""`simpul consent`: citizens' consents, at the provider's node."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.options import STDIN, AsJson, NodeHomeDir, examples, group
from cli.output import (
    print_done,
    print_hint,
    print_json,
    print_line,
    print_pairs,
    print_table,
    to_dict,
    when,
)
from cli.times import parse_time

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import Consent

MS_PER_DAY: Final = 24 * 60 * 60 * 1000
STATES: Final = ("given", "withdrawn", "expired")

app = group("Keep citizens' consents, which calls name where their purpose rests on consent.")

_WISATA: Final = "ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata"
_SUPERAPP: Final = "ID/KEMENTERIAN/KOMDIGI/superapp"

Reference = Annotated[
    str, typer.Argument(metavar="REFERENCE", help="As `simpul consent record` printed it.")
]
Consumer = Annotated[
    str, typer.Option("--consumer", metavar="SUBSYSTEM", help="Whose apps may use the data.")
]
Purpose = Annotated[
    str, typer.Option("--purpose", metavar="NAME", help="What for, as in the agreement.")
]


@app.command(
    "record",
    epilog=examples(
        f"simpul consent record --home N --subject - --consumer {_SUPERAPP}"
        f" --service {_WISATA} --purpose layanan-wisata --days 365",
        f"simpul consent record --home N --subject 3171234567890123 --consumer {_SUPERAPP}"
        f" --service {_WISATA} --purpose layanan-wisata --until 2027-06-30",
    ),
)
def record(
    home: NodeHomeDir,
    subject: Annotated[
        str,
        typer.Option(
            "--subject", metavar="PERSON",
            help="The citizen, as apps send simpul-subject; - reads it from stdin, and leaves it "
            "in no list of processes. Only a keyed hash is kept.",
        ),
    ],
    consumer: Consumer,
    service: Annotated[
        str, typer.Option("--service", metavar="SERVICE-ID", help="What of yours may be called.")
    ],
    purpose: Purpose,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help="It ends as this day begins (UTC), or then."),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", min=1, max=3650, help="Or in N days.")
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Record a citizen's consent, and print the reference that apps send as simpul-consent."""
    from cli.admin import ask_node
    from runtime.clock import now_ms
    from simpul.node.v1 import admin_pb2

    if (until is None) == (days is None):
        raise typer.BadParameter("say until when: one of --until and --days", param_hint="--until")
    at_ms = now_ms()
    until_ms = at_ms + (days or 0) * MS_PER_DAY if until is None else parse_time(until, at_ms)
    request = admin_pb2.RecordConsentRequest(
        subject=_person(subject),
        consumer=consumer,
        service_id=service,
        purpose=purpose,
        valid_until_ms=until_ms,
    )
    made = ask_node(home, lambda stub: stub.RecordConsent(request)).consent
    if as_json:
        print_json(_dict(made))
        return
    print_line(made.reference)
    print_done(f"recorded; it holds until {when(made.valid_until_ms)}")


@app.command("withdraw", epilog=examples("simpul consent withdraw cns-4f1c… --home N"))
def withdraw(home: NodeHomeDir, reference: Reference, as_json: AsJson = False) -> None:
    """Withdraw a consent, for good.

    When the command returns, no call begins by it any more, and those that ran are ended.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.WithdrawConsentRequest(reference=reference)
    done = ask_node(home, lambda stub: stub.WithdrawConsent(request))
    if as_json:
        print_json({**_dict(done.consent), "again": done.again})
        return
    how = "had been withdrawn before" if done.again else "is withdrawn"
    print_done(f"{done.consent.reference} {how}, at {when(done.consent.withdrawn_at_ms)}")


@app.command(
    "list",
    epilog=examples(
        "simpul consent list --home N",
        "simpul consent list --subject - --state given --home N --json",
    ),
)
def list_consents(
    home: NodeHomeDir,
    subject: Annotated[
        str, typer.Option("--subject", metavar="PERSON", help="Only this citizen's; - reads stdin.")
    ] = "",
    consumer: Consumer = "",
    purpose: Purpose = "",
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help=f"Only these: {', '.join(STATES)}.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the consents that this node keeps, the newest first."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    if state and state not in STATES:
        raise typer.BadParameter(f"one of {', '.join(STATES)}", param_hint="--state")
    request = admin_pb2.ListConsentsRequest(
        subject=_person(subject), consumer=consumer, purpose=purpose, state=state
    )
    answer = ask_node(home, lambda stub: stub.ListConsents(request))
    if as_json:
        print_json({"consents": [_dict(each) for each in answer.consents], "more": answer.more})
        return
    print_table(
        ("REFERENCE", "STATE", "CONSUMER", "SERVICE", "PURPOSE", "UNTIL"),
        (
            (each.reference, each.state, each.consumer, each.service_id, each.purpose,
             when(each.valid_until_ms))
            for each in answer.consents
        ),
        empty="No consents: record one with simpul consent record",
    )  # fmt: skip
    if answer.more:
        print_hint("There are more: ask for one citizen, consumer, purpose or state")


@app.command("show", epilog=examples("simpul consent show cns-4f1c… --home N"))
def show(home: NodeHomeDir, reference: Reference, as_json: AsJson = False) -> None:
    """Show one consent: for whom, for what, until when, and whether it was withdrawn."""
    consent = _one(home, reference)
    if as_json:
        print_json(_dict(consent))
        return
    print_pairs(
        (
            ("reference", consent.reference),
            ("state", consent.state),
            ("consumer", consent.consumer),
            ("service", consent.service_id),
            ("purpose", consent.purpose),
            ("recorded", when(consent.recorded_at_ms)),
            ("until", when(consent.valid_until_ms)),
            ("withdrawn", when(consent.withdrawn_at_ms) if consent.withdrawn_at_ms else "-"),
        )
    )


def _one(home: Path, reference: str) -> "Consent":
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ListConsentsRequest(reference=reference)
    return ask_node(home, lambda stub: stub.ListConsents(request)).consents[0]


def _person(text: str) -> str:
    if text != STDIN:
        return text
    return sys.stdin.readline().strip()


def _dict(consent: "Consent") -> dict[str, object]:
    shown = to_dict(consent)
    shown["withdrawn_at_ms"] = consent.withdrawn_at_ms or None
    return shown
