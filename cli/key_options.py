"""Options of commands that make keys: where they are to lie."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import refusal
from security.errors import Code

if TYPE_CHECKING:
    from node.new_keys import NewKeys
    from security.keys import Algorithm

ALGORITHMS = {
    "ed25519": "ED25519",
    "p256": "ECDSA_P256_SHA256",
    "rsa": "RSA_PSS_SHA256",
}

TokenKeyUri = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="URI",
        help="Take or make the new key in a token: pkcs11:token=LABEL;object=LABEL. "
        "None: in a file.",
    ),
]
SealKeyUri = Annotated[
    str | None,
    typer.Option(
        "--seal-key",
        metavar="URI",
        help="Take or make the seal key in a token: pkcs11:token=LABEL;object=LABEL.",
    ),
]
IdentityKeyUri = Annotated[
    str | None,
    typer.Option(
        "--identity-key",
        metavar="URI",
        help="Take or make the identity key in a token: pkcs11:token=LABEL;object=LABEL.",
    ),
]
KeyAlgorithm = Annotated[
    str, typer.Option(metavar="NAME", help="Of a new key in a token: ed25519, p256 or rsa.")
]
HsmModule = Annotated[
    Path | None,
    typer.Option(
        "--hsm-module",
        metavar="FILE",
        help="The token's PKCS#11 library, kept in the settings.",
    ),
]
HsmPinFile = Annotated[
    Path | None,
    typer.Option(
        "--hsm-pin-file",
        metavar="FILE",
        help="Its first line is the token's PIN, kept in the settings.",
    ),
]


def algorithm(name: str) -> "Algorithm":
    """An algorithm by the name that people write; refuses another."""
    from security.keys import Algorithm

    if name not in ALGORITHMS:
        raise refusal(
            Code.REQUEST_MALFORMED, f"{name!r} is no algorithm: write {', '.join(ALGORITHMS)}"
        )
    return Algorithm[ALGORITHMS[name]]


def new_keys(
    *,
    identity: str | None,
    seal: str | None,
    of: str,
    module: Path | None = None,
    pin_file: Path | None = None,
) -> "NewKeys":
    """What the options say; refuses what is no URI."""
    from node.new_keys import NewKeys, absolute
    from runtime.key_stores.uri import TokenUri

    return NewKeys(
        identity=None if identity is None else TokenUri.parse(identity),
        seal=None if seal is None else TokenUri.parse(seal),
        algorithm=algorithm(of),
        module=absolute(module),
        pin_file=absolute(pin_file),
    )
