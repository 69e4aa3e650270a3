"""`simpul node certificate`: a TLS certificate from an authority outside the federation."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import print_done, print_hint, print_json, print_line, print_next, refusal, when
from security.errors import Code

app = group("Have the node certified by an outside authority: request, import.")


@app.command(
    "request",
    epilog=examples(
        "simpul node certificate request --home N --out node.csr",
        "simpul node certificate request --home N --new-key rsa --organisation 'Kab. Manggarai'",
    ),
)
def request(
    home: NodeHomeDir,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="None: on stdout.")
    ] = None,
    new_key: Annotated[
        str,
        typer.Option(
            "--new-key", metavar="KIND", help="For a new key, p256, p384 or rsa; none: as it is."
        ),
    ] = "",
    organisation: Annotated[
        str, typer.Option(metavar="NAME", help="For the subject, where the authority wants one.")
    ] = "",
) -> None:
    """Make a request (CSR) for the node's DNS name, to be given to the authority."""
    from node.config import load_config
    from node.external import make_request
    from node.home import NodeHome
    from runtime.files import write_durably

    place = NodeHome.open(home)
    node = load_config(place, os.environ).node_id
    pem = make_request(place, node, new_key, organisation)
    if out is None:
        print_line(pem.decode().rstrip("\n"))
    else:
        try:
            write_durably(out, pem)
        except OSError as error:
            raise refusal(Code.NOT_FOUND, f"{out} can't be written ({error.strerror})") from error
        print_line(str(out))
    print_hint(f"It asks for {node.dns_name}, for both ends: serverAuth and clientAuth.")
    print_next(f"simpul node certificate import CHAIN.pem --home {home}")


@app.command("import", epilog=examples("simpul node certificate import chain.pem --home N"))
def import_(
    chain: Annotated[
        Path,
        typer.Argument(metavar="CHAIN", help="PEM: the certificate, then its intermediates."),
    ],
    home: NodeHomeDir,
    as_json: AsJson = False,
) -> None:
    """Check a certificate that an outside authority issued, and take it into use.

    The node may run, unless the request was for a new key.
    """
    from node.config import load_config
    from node.doctor.own import read_directory
    from node.external import import_chain, read_chain_file
    from node.home import NodeHome
    from runtime.clock import now_ms
    from security.certificate import expires_at_ms

    place = NodeHome.open(home)
    node = load_config(place, os.environ).node_id
    view = read_directory(place)
    if view is None:
        raise refusal(
            Code.DIRECTORY_ABSENT,
            "the node has no directory yet, which says whom to trust: start it once",
        )
    pem = read_chain_file(chain)
    leaf = import_chain(place, node, pem, view.policy.tls_authorities, now_ms())
    ends_ms = expires_at_ms(leaf)
    if as_json:
        print_json({"node": str(node), "expires_at_ms": ends_ms})
        return
    print_done(f"{node} shows the new certificate, until {when(ends_ms)}")
    print_hint("It isn't renewed by itself: request and import the next one in time.")
