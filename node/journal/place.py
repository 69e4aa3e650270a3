"""Where a journal is: a file of SQLite, or a database of PostgreSQL. Pure values.

    sqlite                                    HOME/journal.db
    postgresql://USER@HOST:PORT/DATABASE?…    libpq's URI; what it leaves out libpq takes from its
                                              environment and files

A password never stands in the URI, because the configuration holds no secret: libpq reads it from
its password file, or needs none where a client certificate or the socket says who this is.

Source: docs/reference, "journal.url"; PostgreSQL, "Connection URIs" and "The Password File".
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from security.errors import Code, SimpulError

SQLITE: Final = "sqlite"
_SCHEMES: Final = frozenset({"postgresql", "postgres"})


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """A database of PostgreSQL; `str()` gives what errors name it by."""

    url: str

    def __str__(self) -> str:
        return self.url


Place = Path | PostgresPlace


def parse_place(text: str, default: Path) -> Place:
    """Reads `journal.url`; `default` is the file that `sqlite` stands for.

    Raises:
        SimpulError: CONFIG_INVALID, where it is neither, or holds a password.
    """
    if text == SQLITE:
        return default
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError as error:
        raise _invalid() from error
    if parts.scheme not in _SCHEMES:
        raise _invalid()
    if password is not None or any(name == "password" for name, _ in parse_qsl(parts.query)):
        raise SimpulError(
            Code.CONFIG_INVALID,
            "journal.url holds a password: put it into libpq's password file (PGPASSFILE)",
            key="journal.url",
        )
    return PostgresPlace(text)


def _invalid() -> SimpulError:
    # Without the text: it may hold what should not be shown.
    return SimpulError(
        Code.CONFIG_INVALID,
        "journal.url is no place: give sqlite, or postgresql://USER@HOST/DATABASE",
        key="journal.url",
    )
