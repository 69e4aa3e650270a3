"""A secret that opens keys: a passphrase or a PIN, from where its owner put it.

In this order: a systemd credential (LoadCredentialEncrypted=), a file that the configuration names,
a variable of the environment. It is read when it is needed and held nowhere. Only a file's first
line counts, so that an editor's newline does no harm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from security.errors import Code, SimpulError

Find = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Places:
    """Where one kind of secret may be: the credential's name, and the variable's."""

    credential: str
    variable: str


def nothing() -> str | None:
    """No secret is known."""
    return None


def find(places: Places, file: str, env: Mapping[str, str]) -> str | None:
    """The secret, from the first place that has one; None, where none has.

    Raises:
        SimpulError: CONFIG_INVALID, when a file that should have it can't be read or is empty.
    """
    if folder := env.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / places.credential
        if credential.is_file():
            return first_line(credential)
    if file:
        return first_line(Path(file))
    return env.get(places.variable)


def first_line(path: Path) -> str:
    """The first line of a file with a secret; raises SimpulError CONFIG_INVALID."""
    try:
        return path.read_text().splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{path} holds no passphrase or PIN in its first line"
        ) from error
