"""SQL made once and run often: SQLAlchemy Core writes it for the dialect, then it stays as it is.

It goes to the driver past SQLAlchemy: compiling a statement anew costs more than running it for one
row, and even one that is compiled costs more in SQLAlchemy than in the database. So the driver's
own errors come out of here (`dialect.dbapi`). Rows are in the order named here.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.sql.dml import UpdateBase

from security.errors import Code, SimpulError

Row = Sequence[object]

# How a driver marks a parameter's place, where it goes by places.
_BY_PLACE: Final = frozenset({"qmark", "format"})


class Statement:
    """One statement that writes rows."""

    def __init__(
        self,
        statement: UpdateBase,
        order: Sequence[str],
        dialect: Dialect,
        columns: Sequence[str] | None = None,
    ) -> None:
        """`order` names a row's parameters as `run` gets them; `columns`: what an insert fills.

        Raises:
            SimpulError: INTERNAL, where the driver wants its parameters by name.
        """
        compiled = statement.compile(
            dialect=dialect, column_keys=None if columns is None else list(columns)
        )
        if compiled.positiontup is None or dialect.paramstyle not in _BY_PLACE:
            raise SimpulError(
                Code.INTERNAL, f"the engine of {dialect.name} must take parameters by their place"
            )
        self._sql = str(compiled)
        self._places = tuple([tuple(order).index(name) for name in compiled.positiontup])
        self._as_given = self._places == tuple(range(len(order)))

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Runs the statement for each row; no rows, nothing is run."""
        if len(rows) == 0:
            return
        cursor = connection.connection.cursor()
        cursor.executemany(self._sql, rows if self._as_given else list(map(self._placed, rows)))
        cursor.close()

    def run_one(self, connection: Connection, row: Row) -> int:
        """Runs the statement once, and returns how many rows it changed."""
        cursor = connection.connection.cursor()
        cursor.execute(self._sql, row if self._as_given else self._placed(row))
        changed = cursor.rowcount
        cursor.close()
        return int(changed)

    def _placed(self, row: Row) -> Row:
        return tuple([row[place] for place in self._places])


def bulk_insert(table: Table, dialect: Dialect) -> Statement:
    """Returns the insert of whole rows, in the order of the table's columns."""
    columns = [column.name for column in table.columns]
    return Statement(insert(table), columns, dialect, columns)
