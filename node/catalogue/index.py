"""The index of contracts: full text in SQLite's memory, for one thread.

It is brought to another directory by what changed between the two. What a contract is, stays in the
directory: the index only finds names.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Self

from node.catalogue.documents import COLUMNS, Document, make_document
from security.contract_card import CardView, Comment, DocumentationView, Maturity
from security.directory import DirectoryView

_NAMES: Final = ", ".join(name for name, _ in COLUMNS)
_WEIGHTS: Final = ", ".join(str(weight) for _, weight in COLUMNS)
_PLACES: Final = ", ".join("?" * len(COLUMNS))
_SCHEMA: Final = f"""
CREATE TABLE contracts (
    id INTEGER PRIMARY KEY, package TEXT NOT NULL UNIQUE, maturity INTEGER NOT NULL,
    fields TEXT NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5 ({_NAMES}, tokenize = 'unicode61 remove_diacritics 2');
"""
# What is retired comes last, however well it matches.
_RETIRED: Final = f"contracts.maturity = {Maturity.RETIRED.value}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: each as far as it is said."""

    # Expressions of `query`, or empty.
    text: str = ""
    field: str = ""
    maturity: int = 0
    # None: any.
    packages: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of what was found."""

    packages: tuple[str, ...]
    total: int


class ContractIndex:
    """A context manager. Not for two threads."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.executescript(_SCHEMA)
        # What each contract's row was made of.
        self._known: dict[str, tuple[CardView, DocumentationView | None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def follow(self, directory: DirectoryView) -> int:
        """Go by this directory; returns how many contracts are new or others."""
        now = {
            card.package: _sources(directory, card) for card in directory.cards.by_package.values()
        }
        gone = [name for name in self._known if name not in now]
        changed = [name for name, sources in now.items() if self._known.get(name) != sources]
        with self._database:
            self._database.execute("BEGIN")
            for name in (*gone, *changed):
                self._remove(name)
            for name in changed:
                self._add(_document(directory, *now[name]))
        self._known = now
        return len(gone) + len(changed)

    def search(self, wanted: Wanted, limit: int, offset: int) -> Found:
        """The packages that match, the best first."""
        matched = " AND ".join(f"({part})" for part in (wanted.text, wanted.field) if part)
        tables, order = "contracts", ""
        conditions: list[str] = []
        values: list[object] = []
        if matched:
            tables = "words JOIN contracts ON contracts.id = words.rowid"
            order = f"bm25(words, {_WEIGHTS}),"
            conditions.append("words MATCH ?")
            values.append(matched)
        if wanted.maturity:
            conditions.append("maturity = ?")
            values.append(wanted.maturity)
        if wanted.packages is not None:
            conditions.append("package IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(sorted(wanted.packages)))
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        # Made of words of this file alone: what is asked stands in `values`.
        (total,) = self._database.execute(
            f"SELECT count(*) FROM {tables} {where}",  # noqa: S608
            values,
        ).fetchone()
        rows = self._database.execute(
            f"SELECT package FROM {tables} {where} ORDER BY {_RETIRED}, {order} package "  # noqa: S608
            "LIMIT ? OFFSET ?",
            (*values, limit, offset),
        ).fetchall()
        return Found(tuple(package for (package,) in rows), int(total))

    def fields_of(self, package: str) -> list[str]:
        """The full names of a contract's fields; of one that isn't there, none."""
        row = self._database.execute(
            "SELECT fields FROM contracts WHERE package = ?", (package,)
        ).fetchone()
        return [] if row is None else str(row[0]).split()

    def _remove(self, package: str) -> None:
        self._database.execute(
            "DELETE FROM words WHERE rowid = (SELECT id FROM contracts WHERE package = ?)",
            (package,),
        )
        self._database.execute("DELETE FROM contracts WHERE package = ?", (package,))

    def _add(self, document: Document) -> None:
        added = self._database.execute(
            "INSERT INTO contracts (package, maturity, fields) VALUES (?, ?, ?)",
            (document.package, document.maturity, " ".join(document.fields)),
        )
        self._database.execute(
            f"INSERT INTO words (rowid, {_NAMES}) VALUES (?, {_PLACES})",  # noqa: S608
            (added.lastrowid, *document.texts),
        )


def _sources(directory: DirectoryView, card: CardView) -> tuple[CardView, DocumentationView | None]:
    said = card.newest.documentation
    return card, None if said is None else directory.cards.documentation[said]


def _document(
    directory: DirectoryView, card: CardView, documentation: DocumentationView | None
) -> Document:
    contract = directory.contracts[next(iter(card.newest.services.values()))]
    comments: Iterable[Comment] = () if documentation is None else documentation.comments
    return make_document(card, contract.descriptor_set, comments)
