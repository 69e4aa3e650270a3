"""How much calls were made, from the index of calls. It judges nothing.

By agreement, or by service. Counts and sizes are those of a time that is asked for, because a
journal may hold years; when an agreement was used last is known from all of it.

Source: docs/spec, "Journal: the index of calls".
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, case, func, select

from node.journal.model import Direction, Outcome, Role
from node.journal.readonly import JournalReading
from node.journal.tables import CALL_ENTRIES, CALLS, DIRECTIONS, NAMES, OUTCOMES, ROLES, TERMS
from security.commitment import ROUND_BYTES

_ASKED: Final = {Role.CONSUMER: Direction.SENT, Role.PROVIDER: Direction.RECEIVED}


@dataclass(frozen=True, slots=True)
class Used:
    """What was done by one agreement, as one side of it. Sizes are rounded up to 256 bytes each."""

    calls: int = 0
    # Of the calls, those that Simpul refused, at either node.
    refused: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    # In all of the journal; None: never.
    last_call_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls of one service of a provider: made by apps of this node, and answered by it."""

    asked: int = 0
    answered: int = 0


NOTHING: Final = Used()
# By the agreement's hash and the role here.
ByAgreement = dict[tuple[bytes, Role], Used]


class UsageReader(JournalReading):
    """Reads the index of calls. A context manager; for one thread.

    Raises:
        SimpulError: from every method, as node.journal.readonly.ReadOnly says.
    """

    def usage(self, agreements: Iterable[bytes], since_ms: int) -> ByAgreement:
        """What was done by these agreements since then; those never used are left out."""
        names = [agreement.hex() for agreement in agreements]
        with self._journal.snapshot() as connection:
            found = _last(connection, names)
            for key, used in _counted(connection, names, since_ms).items():
                found[key] = replace(used, last_call_ms=found[key].last_call_ms)
            return _weighed(connection, names, since_ms, found)

    def traffic(
        self, services: Collection[str], since_ms: int, most: int, consumers: Collection[str] | None
    ) -> tuple[dict[tuple[str, str], Traffic], bool]:
        """Calls of these services since then that weren't refused, by provider and service.

        At most so many are counted, and it's said whether there were more. With `consumers`: only
        what these subsystems asked.
        """
        query = _traffic(services, since_ms, consumers).limit(most + 1).subquery()
        provider, service = NAMES.alias(), NAMES.alias()
        counted = (
            select(provider.c.text, service.c.text.label("service"), query.c.role, func.count())
            .join(provider, provider.c.id == query.c.provider)
            .join(service, service.c.id == query.c.service)
            .group_by(provider.c.text, service.c.text, query.c.role)
        )
        found: dict[tuple[str, str], Traffic] = {}
        with self._journal.snapshot() as connection:
            rows = connection.execute(counted).all()
        for provider_name, service_name, role, count in rows:
            key = (provider_name, service_name)
            side = "asked" if ROLES[role] is Role.CONSUMER else "answered"
            found[key] = replace(found.get(key, Traffic()), **{side: int(count)})
        return found, sum(int(row[3]) for row in rows) > most


def _traffic(
    services: Collection[str], since_ms: int, consumers: Collection[str] | None
) -> Select[Any]:
    query = (
        select(TERMS.c.provider, TERMS.c.service, TERMS.c.role)
        .join(CALLS, CALLS.c.terms == TERMS.c.id)
        .where(
            TERMS.c.service.in_(_ids(services)),
            CALLS.c.opened_at_ms >= since_ms,
            CALLS.c.outcome != OUTCOMES.index(Outcome.REFUSED),
        )
    )
    if consumers is None:
        return query
    return query.where(
        TERMS.c.consumer.in_(_ids(consumers)), TERMS.c.role == ROLES.index(Role.CONSUMER)
    )


def _ids(texts: Collection[str]) -> Select[Any]:
    return select(NAMES.c.id).where(NAMES.c.text.in_(texts))


def _last(connection: Connection, names: list[str]) -> ByAgreement:
    query = _by_agreement(names, func.max(CALLS.c.opened_at_ms).label("last"))
    return {_key(row): Used(last_call_ms=row.last) for row in connection.execute(query)}


def _counted(connection: Connection, names: list[str], since_ms: int) -> ByAgreement:
    is_refused = CALLS.c.outcome == OUTCOMES.index(Outcome.REFUSED)
    query = _by_agreement(
        names, func.count().label("calls"), func.sum(case((is_refused, 1), else_=0)).label("no")
    ).where(CALLS.c.opened_at_ms >= since_ms)
    return {_key(row): Used(row.calls, int(row.no)) for row in connection.execute(query)}


def _weighed(
    connection: Connection, names: list[str], since_ms: int, found: ByAgreement
) -> ByAgreement:
    """With the sizes of what was asked and answered."""
    query = (
        _by_agreement(names, CALL_ENTRIES.c.direction, func.sum(CALL_ENTRIES.c.blocks).label("sum"))
        .join(CALL_ENTRIES, CALL_ENTRIES.c.call == CALLS.c.id)
        .where(CALLS.c.opened_at_ms >= since_ms)
        .group_by(CALL_ENTRIES.c.direction)
    )
    for row in connection.execute(query):
        key, size = _key(row), int(row.sum) * ROUND_BYTES
        if DIRECTIONS[row.direction] is _ASKED[key[1]]:
            found[key] = replace(found[key], request_bytes=size)
        else:
            found[key] = replace(found[key], response_bytes=size)
    return found


def _by_agreement(names: list[str], *columns: Any) -> Select[Any]:  # noqa: ANN401
    return (
        select(NAMES.c.text, CALLS.c.role, *columns)
        .select_from(CALLS)
        .join(TERMS, TERMS.c.id == CALLS.c.terms)
        .join(NAMES, NAMES.c.id == TERMS.c.agreement)
        .where(NAMES.c.text.in_(names))
        .group_by(NAMES.c.text, CALLS.c.role)
    )


def _key(row: Row[Any]) -> tuple[bytes, Role]:
    return bytes.fromhex(row.text), ROLES[row.role]
