"""SQL made once and run often: SQLAlchemy Core writes it for the dialect, then it stays as it is.

Compiling a statement anew costs more than running it for one row. Rows are tuples in the order
named here, and go to the driver in the shape it takes.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.sql.dml import UpdateBase

Row = Sequence[object]


class Statement:
    """One statement that writes many rows."""

    def __init__(
        self,
        statement: UpdateBase,
        order: Sequence[str],
        dialect: Dialect,
        columns: Sequence[str] | None = None,
    ) -> None:
        """`order` names a row's parameters as `run` gets them; `columns`: what an insert fills."""
        compiled = statement.compile(
            dialect=dialect, column_keys=None if columns is None else list(columns)
        )
        self._sql = str(compiled)
        self._order = tuple(order)
        self._positions: tuple[int, ...] | None = None
        if compiled.positiontup is not None:
            self._positions = tuple(self._order.index(name) for name in compiled.positiontup)
        self._as_given = self._positions == tuple(range(len(self._order)))

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Runs the statement for each row; no rows, nothing is run."""
        if len(rows) == 0:
            return
        if self._as_given:
            connection.exec_driver_sql(self._sql, [tuple(row) for row in rows])
        elif self._positions is not None:
            places = self._positions
            connection.exec_driver_sql(
                self._sql, [tuple(row[place] for place in places) for row in rows]
            )
        else:
            connection.exec_driver_sql(
                self._sql, [dict(zip(self._order, row, strict=True)) for row in rows]
            )


def bulk_insert(table: Table, dialect: Dialect) -> Statement:
    """Returns the insert of whole rows, in the order of the table's columns."""
    columns = [column.name for column in table.columns]
    return Statement(insert(table), columns, dialect, columns)
