from pathlib import Path

import pytest

from node.journal.place import PostgresPlace, parse_place
from security.errors import Code, SimpulError

FILE = Path("/somewhere/journal.db")


def test_sqlite_is_the_homes_own_file() -> None:
    assert parse_place("sqlite", FILE) == FILE


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_database_is_taken_as_it_is(scheme: str) -> None:
    url = f"{scheme}://simpul@db.internal:5432/journal?sslmode=verify-full"
    assert parse_place(url, FILE) == PostgresPlace(url)


@pytest.mark.parametrize(
    "url", ["postgresql://simpul:geheim@db/journal", "postgresql://db/journal?password=geheim"]
)
def test_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SimpulError, match="password file") as caught:
        parse_place(url, FILE)
    assert caught.value.code is Code.CONFIG_INVALID
    assert "geheim" not in caught.value.message


@pytest.mark.parametrize("text", ["", "mysql://db/journal", "/a/file", "postgresql://[", "SQLITE"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(SimpulError, match=r"journal\.url") as caught:
        parse_place(text, FILE)
    assert caught.value.code is Code.CONFIG_INVALID
