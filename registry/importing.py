"""Lists many members, with their subsystems, in one transaction; says by line what is wrong.

Rules: all or none, unless bad lines are to be skipped; a dry run stores nothing and says the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from registry import systems
from registry.directory import content
from registry.membership import Act, NewMember, add_within
from registry.model import Touched
from registry.registrar import Registrar
from security.errors import Code, SimpulError
from security.identifiers import MemberId

MAX_ROWS = 100_000
PROGRESS_EVERY = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file. `read` gives what it says, or raises SimpulError."""

    number: int
    read: Callable[[], NewMember]
    # The names of its subsystems.
    subsystems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line."""

    number: int
    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it: whom a dry run would list, or an import has listed."""

    members: tuple[MemberId, ...]
    errors: tuple[LineError, ...]
    stored: bool

    @property
    def touched(self) -> Touched:
        """What must be published."""
        return Touched(frozenset(self.members)) if self.stored else Touched()


class _NotStoredError(Exception):
    """Takes back the transaction of what was only tried."""


def import_members(
    registrar: Registrar,
    lines: Sequence[Line],
    act: Act,
    *,
    dry_run: bool,
    skip_bad: bool,
    progress: Callable[[int], None],
) -> Imported:
    """Lists the members of a file.

    Args:
        registrar: What to go by.
        lines: The file's.
        act: Who, and when.
        dry_run: Store nothing.
        skip_bad: List the good lines where others are bad.
        progress: Told now and then how many lines are done.

    Raises:
        SimpulError: REQUEST_MALFORMED for too many lines. What is wrong with a line is no error
            of the import.
    """
    if len(lines) > MAX_ROWS:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"a file has {MAX_ROWS} lines at most: split it in several"
        )
    done: list[MemberId] = []
    errors: list[LineError] = []
    try:
        with registrar.store.transaction() as session:
            for count, line in enumerate(lines, 1):
                try:
                    # A savepoint: what a bad line did before it was refused is taken back.
                    with session.begin_nested():
                        new = line.read()
                        add_within(session, registrar, new, act)
                        if line.subsystems:
                            systems.add_first(session, new.id, line.subsystems, act)
                            content.read(session, registrar.policy, _touched(new.id))
                    done.append(new.id)
                except SimpulError as error:
                    errors.append(LineError(line.number, error.code, error.message))
                if count % PROGRESS_EVERY == 0:
                    progress(count)
            if dry_run or (errors and not skip_bad):
                raise _NotStoredError
    except _NotStoredError:
        return Imported(tuple(done), tuple(errors), stored=False)
    return Imported(tuple(done), tuple(errors), stored=True)


def _touched(member: MemberId) -> Touched:
    return Touched(frozenset({member}))
