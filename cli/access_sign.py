"""`simpul access export-for-signing`, `sign`, `import`: agreements signed away from the node.

`sign` needs no node, no network and no directory: it shows what the document says and signs what
its holder has read. What the other side's signature is worth is judged where it is imported.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.access_decide import AgreementArgument, print_agreement, print_untold
from cli.access_terms import Note
from cli.ceremony import KeyFile, Yes
from cli.files import key_passphrase, read_small, write_new
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import print_done, print_json, print_line, print_next, print_pairs, refusal
from security.errors import Code, SimpulError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from security.agreement import AgreementTerms
    from security.keys import PrivateKey
    from simpul.node.v1.admin_pb2 import AccessTerms
    from simpul.v1.agreement_pb2 import SignedAgreement

app = group("Sign agreements on a machine without the node.")

Document = Annotated[Path, typer.Argument(metavar="FILE", help="The agreement's document.")]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE", help="Where the document is written; new.")
]


@app.command(
    "export-for-signing", epilog=examples("simpul access export-for-signing 3f9a20 -o 3f9a20.agr")
)
def export(
    agreement: AgreementArgument, home: NodeHomeDir, out: Out, as_json: AsJson = False
) -> None:
    """Write what the other side proposed to a file, to be signed where the identity key is.

    For what this side proposes: simpul access request --for-signing FILE.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ExportAgreementRequest(agreement=agreement)
    answer = ask_node(home, lambda stub: stub.ExportAgreement(request))
    _exported(out, answer.document, as_json=as_json)


def draft(home: Path, terms: "AccessTerms", out: Path, *, allows: bool, as_json: bool) -> None:
    """Write a new agreement to a file, to be signed where the identity key is."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.DraftAgreementRequest(terms=terms, allow=allows)
    answer = ask_node(home, lambda stub: stub.DraftAgreement(request))
    _exported(out, answer.document, as_json=as_json)


@app.command(
    "sign",
    epilog=examples(
        "simpul access sign 3f9a20.agr --key identity.pem -o 3f9a20-signed.agr",
    ),
)
def sign(file: Document, key: KeyFile, out: Out, yes: Yes = False, as_json: AsJson = False) -> None:
    """Show what an agreement says, and sign it: on any machine, without the node.

    The key must be the identity key that the agreement names for its provider or its consumer.
    """
    from security.agreement import agreement_hash, parse_agreement, sign_agreement
    from security.agreement_compare import describe

    document = _parse(read_small(file))
    terms, private = parse_agreement(document.agreement), private_key(key)
    side = _side(terms, private)
    if not as_json:
        print_pairs(
            [
                ("agreement", agreement_hash(document.agreement).hex()),
                ("provider", f"{terms.provider.member} {terms.provider.identity_key_id.hex()}"),
                ("consumer", f"{terms.consumer.member} {terms.consumer.identity_key_id.hex()}"),
                *_delegator(terms),
                *describe(terms),
            ]
        )
    if not (yes or as_json) and not typer.confirm(f"Sign this as the {side}?", err=True):
        raise refusal(Code.AGREEMENT_INVALID, "nothing was signed")
    signature = sign_agreement(document.agreement, private)
    if side == "provider":
        document.provider_signature = signature
    else:
        document.consumer_signature = signature
    write_new(out, document.SerializeToString())
    found = agreement_hash(document.agreement).hex()
    if as_json:
        print_json({"file": str(out), "agreement": found, "signed_as": side})
        return
    print_line(str(out))
    print_done(f"signed as the {side}")
    print_next(f"simpul access import {out} --home N")


@app.command("import", epilog=examples("simpul access import 3f9a20-signed.agr --home N"))
def import_signed(
    file: Document, home: NodeHomeDir, note: Note = "", as_json: AsJson = False
) -> None:
    """Take what was signed elsewhere, and tell the other side."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ImportAgreementRequest(document=read_small(file), note=note)
    made = ask_node(home, lambda stub: stub.ImportAgreement(request))
    if as_json:
        print_agreement(made.agreement, made.untold)
        return
    print_line(made.agreement.agreement)
    print_done(f"taken in: {made.agreement.agreement[:12]} is {made.agreement.state}")
    print_untold(made.untold)


def _delegator(terms: "AgreementTerms") -> "Iterator[tuple[str, str]]":
    party = terms.delegator
    if party is not None and terms.delegation is not None:
        yield "delegator", f"{party.member} {party.identity_key_id.hex()}"
        yield "delegation", terms.delegation.hex()


def _exported(out: Path, document: bytes, *, as_json: bool) -> None:
    from security.agreement import agreement_hash

    found = agreement_hash(_parse(document).agreement).hex()
    write_new(out, document)
    if as_json:
        print_json({"file": str(out), "agreement": found})
        return
    print_line(str(out))
    print_done(f"{found[:12]} waits for its signature")
    print_next(f"simpul access sign {out} --key identity.pem -o SIGNED")


def _parse(data: bytes) -> "SignedAgreement":
    from node.agreements.wire import MAX_REQUEST_BYTES
    from security.strict import parse
    from simpul.v1 import agreement_pb2

    return parse(
        agreement_pb2.SignedAgreement, data, MAX_REQUEST_BYTES, code=Code.AGREEMENT_INVALID
    )


def private_key(file: Path) -> "PrivateKey":
    """The key of a PEM file, which asks for its passphrase where it has one."""
    from security.keys import PrivateKey
    from security.pem import decrypt_pem

    data = read_small(file)
    if b"ENCRYPTED" in data:
        try:
            data = decrypt_pem(data, key_passphrase())
        except SimpulError as error:
            raise refusal(
                error.code, f"{file} is no key in PEM, or the passphrase is wrong"
            ) from error
    return PrivateKey.from_pem(data)


def _side(terms: "AgreementTerms", key: "PrivateKey") -> str:
    """As which party the key signs."""
    for side, party in (("provider", terms.provider), ("consumer", terms.consumer)):
        if party.identity_key_id == key.public.key_id:
            return side
    raise refusal(
        Code.KEY_UNKNOWN,
        f"the agreement names the key {key.public.key_id.hex()[:16]} for neither side: take the "
        "identity key of its provider or its consumer",
    )
