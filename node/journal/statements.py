"""SQL made once and run often: SQLAlchemy Core writes it for the dialect, then it stays as it is.

It goes to the driver past SQLAlchemy: compiling a statement anew costs more than running it for one
row, and even one that is compiled costs more in SQLAlchemy than in the database. So the driver's
own errors come out of here (`dialect.dbapi`). Rows are in the order named here.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.sql.dml import UpdateBase

from security.errors import Code, SimpulError

Row = Sequence[object]

# How a driver marks a parameter's place, where it goes by places.
_MARKS: Final = {"qmark": "?", "format": "%s"}
# Rows that go in with one statement. Times the columns they stay far below any limit of parameters.
BULK_ROWS: Final = (64, 16, 4, 1)


class Statement:
    """One statement that writes rows."""

    def __init__(self, statement: UpdateBase, order: Sequence[str], dialect: Dialect) -> None:
        """`order` names a row's parameters as `run` gets them."""
        compiled = statement.compile(dialect=dialect)
        if compiled.positiontup is None or dialect.paramstyle not in _MARKS:
            raise _by_place(dialect)
        self._sql = str(compiled)
        self._places = tuple([tuple(order).index(name) for name in compiled.positiontup])

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Runs the statement for each row; no rows, nothing is run."""
        if len(rows) == 0:
            return
        cursor = connection.connection.cursor()
        cursor.executemany(self._sql, [self._placed(row) for row in rows])
        cursor.close()

    def run_one(self, connection: Connection, row: Row) -> int:
        """Runs the statement once, and returns how many rows it changed."""
        cursor = connection.connection.cursor()
        cursor.execute(self._sql, self._placed(row))
        changed = cursor.rowcount
        cursor.close()
        return int(changed)

    def _placed(self, row: Row) -> Row:
        return tuple([row[place] for place in self._places])


class BulkInsert:
    """Inserts whole rows, in the order of the table's columns, many with one statement.

    A statement costs as much as several rows, so rows go in by the largest of a few sizes that
    fits. Few sizes, so that the driver keeps each one prepared.
    """

    def __init__(self, table: Table, dialect: Dialect) -> None:
        mark = _MARKS.get(dialect.paramstyle)
        if mark is None:
            raise _by_place(dialect)
        quote = dialect.identifier_preparer.quote
        columns = [quote(column.name) for column in table.columns]
        row = f"({', '.join([mark] * len(columns))})"
        # All of it is ours: names of our tables and their columns.
        head = f"INSERT INTO {quote(table.name)} ({', '.join(columns)}) VALUES "  # noqa: S608
        self._statements = [(size, head + ", ".join([row] * size)) for size in BULK_ROWS]

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Inserts the rows; no rows, nothing is run."""
        if len(rows) == 0:
            return
        cursor = connection.connection.cursor()
        at, left = 0, len(rows)
        for size, sql in self._statements:
            while left >= size:
                cursor.execute(sql, list(chain.from_iterable(rows[at : at + size])))
                at, left = at + size, left - size
        cursor.close()


def _by_place(dialect: Dialect) -> SimpulError:
    return SimpulError(
        Code.INTERNAL, f"the engine of {dialect.name} must take parameters by their place"
    )
