"""`simpul registry policy`: what the federation's offline keys decide, changed while it runs.

Ages of the directory, TLS authorities, member classes, limits, witnesses, time-stamp authorities.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cli import ceremony
from cli.ceremony import KeyFile, Out, ProposalFile, Yes
from cli.files import read_small
from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_hint, print_line, print_next, print_table, refusal
from runtime.clock import now_ms
from security.errors import Code

app = group("Change the federation's policy: show, propose, sign, publish.")


@app.command("show", epilog=examples("simpul registry policy show --home R > policy.json"))
def policy_show(home: RegistryHomeDir) -> None:
    """Print the policy in force, as JSON to edit: `propose` takes it back."""
    print_line(ceremony.policy_text(ceremony.fetch(home).policy))


@app.command(
    "propose",
    epilog=examples(
        "simpul registry policy propose policy.json --home R --out policy-2.json",
        "simpul registry policy propose --home R --out policy-2.json",
    ),
)
def policy_propose(
    home: RegistryHomeDir,
    out: Out,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The whole policy; none: the same, for a new year."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Propose another policy, or the same for another year; shows what would change.

    Where the home is on this machine and its own key suffices, it signs at once.
    """
    from registry.directory import proposals, signers
    from registry.directory.layout import Role
    from security.directory_records import parse_policy

    shown = ceremony.fetch(home)
    policy = shown.policy if file is None else _policy(file)
    # Refused now, where it costs nothing, and not when all have signed.
    parse_policy(policy)
    made = proposals.propose_policy(shown.root, shown.targets, policy, now_ms())
    own = signers.key_file(home / "keys", Role.TARGETS)
    if own.is_file():
        made = proposals.sign(made, ceremony.read_signer(own))
    ceremony.write_proposal(out, made, is_new=True)
    if not as_json:
        before, after = (json.loads(ceremony.policy_text(item)) for item in (shown.policy, policy))
        print_table(
            ("CHANGES", "FROM", "TO"),
            _differences(before, after),
            empty="It says the same: only its life is new.",
        )
    ceremony.print_needs(made, as_json=as_json)
    if not as_json:
        print_done(f"proposed in {out}: carry it to those who are to sign")
        print_next(
            f"simpul registry policy sign {out} --key KEY  # at each holder",
            f"simpul registry policy publish {out} --home R",
        )


@app.command("sign", epilog=examples("simpul registry policy sign policy-2.json --key anna.pem"))
def policy_sign(
    file: ProposalFile, key: KeyFile, yes: Yes = False, as_json: AsJson = False
) -> None:
    """On a holder's machine: read what is proposed, and add your signature to the file."""
    ceremony.sign_file(file, key, yes=yes, as_json=as_json)


@app.command(
    "merge", epilog=examples("simpul registry policy merge a.json b.json --out policy-2.json")
)
def policy_merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Copies of one proposal.")],
    out: Out,
    as_json: AsJson = False,
) -> None:
    """Put the signatures of several copies of a proposal into one, where they were signed apart."""
    ceremony.merge_files(files, out, as_json=as_json)


@app.command("publish", epilog=examples("simpul registry policy publish policy-2.json --home R"))
def policy_publish(file: ProposalFile, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Put in force what enough have signed. Nodes go by it within seconds."""
    ceremony.publish_file(file, home, as_json=as_json)
    if not as_json:
        print_hint("Witnesses and limits hold for what nodes do from now on.")


def _policy(file: Path) -> bytes:
    from google.protobuf.json_format import Parse, ParseError

    from simpul.v1 import directory_pb2

    try:
        message = Parse(read_small(file), directory_pb2.FederationPolicy())
    except (ParseError, UnicodeDecodeError) as error:
        raise refusal(
            Code.REQUEST_MALFORMED,
            f"{file} is no policy: {error}; begin with what `simpul registry policy show` prints",
        ) from error
    return message.SerializeToString(deterministic=True)


def _differences(before: dict[str, object], after: dict[str, object]) -> Iterator[tuple[str, ...]]:
    for name in sorted(before.keys() | after.keys()):
        old, new = (json.dumps(tree.get(name)) for tree in (before, after))
        if old != new:
            yield name, old, new
