"""All or none, line by line, or tried only."""

import pytest

from registry import importing, membership, systems
from registry.importing import Imported, Line
from registry.membership import Act, NewMember
from registry.model import Touched
from registry.registrar import Registrar
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from tests.unit.registry.conftest import NOW


def line(number: int, member: str, name: str = "") -> Line:
    return Line(number, lambda: NewMember(MemberId.parse(member), name or f"Nama {number}"))


GOOD = (line(2, "ID/DAERAH/21.05"), line(3, "ID/DAERAH/21.06"))
BAD = (
    line(4, "ID/DAERAH/"),
    line(5, "ID/PARTAI/1"),
    line(6, "ID/DAERAH/21.05"),
    line(7, "ID/DAERAH/21.07", "nama 2"),
)


def run(
    registrar: Registrar, *lines: Line, dry_run: bool = False, skip_bad: bool = False
) -> Imported:
    return importing.import_members(
        registrar,
        lines,
        Act("test", NOW),
        dry_run=dry_run,
        skip_bad=skip_bad,
        progress=lambda _: None,
    )


def count(registrar: Registrar) -> int:
    return len(membership.list_members(registrar)) - 2


def test_good_lines_are_listed(registrar: Registrar) -> None:
    done = run(registrar, *GOOD)

    assert (done.stored, done.errors, count(registrar)) == (True, (), 2)
    assert done.touched == Touched(frozenset(done.members))


def test_one_bad_line_keeps_all_from_being_listed(registrar: Registrar) -> None:
    done = run(registrar, *GOOD, *BAD)

    assert (done.stored, count(registrar), done.touched) == (False, 0, Touched())
    assert [(error.number, error.code) for error in done.errors] == [
        (4, Code.ID_MALFORMED),
        (5, Code.ID_MALFORMED),
        (6, Code.ALREADY_EXISTS),
        (7, Code.ALREADY_EXISTS),
    ]


def test_bad_lines_are_skipped_where_that_is_said(registrar: Registrar) -> None:
    done = run(registrar, *GOOD, *BAD, skip_bad=True)

    assert (done.stored, len(done.errors), count(registrar)) == (True, 4, 2)


def test_a_dry_run_says_the_same_and_stores_nothing(registrar: Registrar) -> None:
    done = run(registrar, *GOOD, *BAD, dry_run=True, skip_bad=True)

    assert (done.stored, len(done.members), len(done.errors)) == (False, 2, 4)
    assert count(registrar) == 0


def test_progress_is_told(registrar: Registrar) -> None:
    told: list[int] = []
    lines = [line(n, f"ID/DAERAH/{n}") for n in range(101)]

    importing.import_members(
        registrar, lines, Act("t", NOW), dry_run=True, skip_bad=False, progress=told.append
    )

    assert told == [50, 100]


def test_too_long_a_file_is_refused(registrar: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_ROWS", 1)
    with pytest.raises(SimpulError) as caught:
        run(registrar, *GOOD)
    assert caught.value.code is Code.REQUEST_MALFORMED


def test_a_line_lists_its_subsystems_too(registrar: Registrar) -> None:
    medan = MemberId.parse("ID/DAERAH/12.71")
    named = Line(2, lambda: NewMember(medan, "Kota Medan"), ("pariwisata", "pajak"))

    done = run(registrar, named)

    assert (done.stored, done.errors) == (True, ())
    assert [str(item.id) for item in systems.every(registrar, medan)] == [
        "ID/DAERAH/12.71/pajak",
        "ID/DAERAH/12.71/pariwisata",
    ]


@pytest.mark.parametrize("names", [("pajak", "pajak"), ("pa/jak",), ("",)])
def test_a_line_with_a_bad_subsystem_lists_nothing(
    registrar: Registrar, names: tuple[str, ...]
) -> None:
    medan = MemberId.parse("ID/DAERAH/12.71")

    done = run(registrar, Line(2, lambda: NewMember(medan, "Kota Medan"), names))

    assert [error.number for error in done.errors] == [2]
    assert (done.stored, count(registrar)) == (False, 0)
    assert systems.every(registrar, None) == ()
