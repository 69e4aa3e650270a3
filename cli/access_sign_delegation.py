"""`simpul access sign-delegation`, `import-delegation`: delegations signed away from the node.

As `cli.access_sign`, of which this is the same for delegations: signing needs no node, no network
and no directory.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.access_decide import print_untold
from cli.access_sign import Out, private_key
from cli.ceremony import KeyFile, Yes
from cli.files import read_small, write_new
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_json,
    print_line,
    print_next,
    print_pairs,
    refusal,
    to_dict,
    when,
)
from security.errors import Code

if TYPE_CHECKING:
    from security.delegation import DelegationTerms
    from simpul.node.v1.admin_pb2 import DelegateAccessRequest, Delegation, Untold
    from simpul.v1.agreement_pb2 import SignedDelegation

app = group("Sign delegations on a machine without the node.")

Document = Annotated[Path, typer.Argument(metavar="FILE", help="The delegation's document.")]


def draft(home: Path, terms: "DelegateAccessRequest", out: Path, *, as_json: bool) -> None:
    """Write a new delegation to a file, to be signed where the identity key is."""
    from cli.admin import ask_node
    from security.delegation import delegation_hash
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.DraftDelegationRequest(terms=terms)
    document = ask_node(home, lambda stub: stub.DraftDelegation(request)).document
    found = delegation_hash(_parse(document).delegation).hex()
    write_new(out, document)
    if as_json:
        print_json({"file": str(out), "delegation": found})
        return
    print_line(str(out))
    print_done(f"{found[:12]} waits for its signature")
    print_next(f"simpul access sign-delegation {out} --key identity.pem -o SIGNED")


@app.command(
    "sign-delegation",
    epilog=examples(
        "simpul access sign-delegation kalbar.dlg --key identity.pem -o kalbar-signed.dlg",
    ),
)
def sign(file: Document, key: KeyFile, out: Out, yes: Yes = False, as_json: AsJson = False) -> None:
    """Show what a delegation says, and sign it: on any machine, without the node.

    The key must be the identity key that the delegation names for its delegator.
    """
    from security.delegation import delegation_hash, parse_delegation, sign_delegation

    document = _parse(read_small(file))
    terms, private = parse_delegation(document.delegation), private_key(key)
    found = delegation_hash(document.delegation).hex()
    if terms.delegator.identity_key_id != private.public.key_id:
        raise refusal(
            Code.KEY_UNKNOWN,
            f"the delegation doesn't name the key {private.public.key_id.hex()[:16]}: take the "
            f"identity key of {terms.delegator.member}",
        )
    if not as_json:
        print_pairs([("delegation", found), *_described(terms)])
    if not (yes or as_json) and not typer.confirm("Sign this as the delegator?", err=True):
        raise refusal(Code.DELEGATION_INVALID, "nothing was signed")
    document.signature = sign_delegation(document.delegation, private)
    write_new(out, document.SerializeToString())
    if as_json:
        print_json({"file": str(out), "delegation": found})
        return
    print_line(str(out))
    print_done(f"signed as {terms.delegator.member}")
    print_next(f"simpul access import-delegation {out} --home N")


@app.command(
    "import-delegation",
    epilog=examples("simpul access import-delegation kalbar-signed.dlg --home N"),
)
def import_signed(file: Document, home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Take a delegation that was signed elsewhere, and tell the delegate."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ImportDelegationRequest(document=read_small(file))
    made = ask_node(home, lambda stub: stub.ImportDelegation(request))
    print_given(made.delegation, made.untold, as_json=as_json)


def print_given(given: "Delegation", untold: "Untold", *, as_json: bool) -> None:
    """A delegation that is given now, and what usually follows."""
    if as_json:
        print_as_json(given, untold)
        return
    print_line(given.delegation)
    print_done(
        f"{given.delegate} may act for {given.delegator} until {when(given.valid_until_ms)} "
        f"({given.state})"
    )
    print_untold(untold)
    print_next(
        f"simpul access request --home DELEGATES_HOME --on-behalf-of {given.delegator}"
        f" --consumer {given.delegate}/SUBSYSTEM --service {given.services[0].service_id}"
        f" --purpose {given.purposes[0]}"
    )


def print_as_json(delegation: "Delegation", untold: "Untold") -> None:
    """A delegation as JSON, with why somebody has not heard of it, if so."""
    print_json({**to_dict(delegation), "untold": to_dict(untold) if untold.code else None})


def _described(terms: "DelegationTerms") -> list[tuple[str, str]]:
    return [
        ("delegator", f"{terms.delegator.member} {terms.delegator.identity_key_id.hex()}"),
        ("delegate", f"{terms.delegate.member} {terms.delegate.identity_key_id.hex()}"),
        *(
            ("may call", f"{item.provider}/{item.service}: {listed(item.methods)}")
            for item in terms.services
        ),
        ("purposes", listed(terms.purposes)),
        ("from", when(terms.valid_from_ms)),
        ("until", when(terms.valid_until_ms)),
        ("issued", when(terms.issued_at_ms)),
    ]


def _parse(data: bytes) -> "SignedDelegation":
    from node.agreements.wire import MAX_REQUEST_BYTES
    from security.strict import parse
    from simpul.v1 import agreement_pb2

    return parse(
        agreement_pb2.SignedDelegation, data, MAX_REQUEST_BYTES, code=Code.DELEGATION_INVALID
    )
