"""Files that commands are given and make: small ones, read whole and never written over."""

import os
from pathlib import Path

import typer

from cli.output import refusal
from security.errors import Code

MAX_BYTES = 1024 * 1024
PASSPHRASE = "SIMPUL_KEY_PASSPHRASE"  # noqa: S105  (a variable's name)


def read_small(file: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """A small file; raises SimpulError NOT_FOUND or REQUEST_MALFORMED."""
    try:
        with file.open("rb") as opened:
            data = opened.read(max_bytes + 1)
    except OSError as error:
        raise refusal(Code.NOT_FOUND, f"{file} can't be read ({error.strerror})") from error
    if len(data) > max_bytes:
        raise refusal(Code.REQUEST_MALFORMED, f"{file} is too long: it is another file")
    return data


def write_new(file: Path, data: bytes) -> None:
    """A new file; raises SimpulError ALREADY_EXISTS or NOT_FOUND."""
    try:
        with file.open("xb") as opened:
            opened.write(data)
    except FileExistsError as error:
        raise refusal(
            Code.ALREADY_EXISTS, f"{file} is there already: give another name with --out"
        ) from error
    except OSError as error:
        raise refusal(Code.NOT_FOUND, f"{file} can't be written ({error.strerror})") from error


def key_passphrase() -> bytes:
    """Of a private key's file: from the environment, or asked for."""
    given = os.environ.get(PASSPHRASE)
    text = typer.prompt("Passphrase", hide_input=True, err=True) if given is None else given
    return str(text).encode()
