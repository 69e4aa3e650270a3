"""`simpul explain`."""

from security.errors import ERRORS, Code
from tests.unit.cli.conftest import Simpul


def test_one_code(simpul: Simpul) -> None:
    info = ERRORS[Code.ACCESS_PURPOSE]
    out = simpul("explain", "access-purpose").ok().out
    assert info.meaning in out
    assert info.action in out
    assert simpul("explain", "ACCESS_PURPOSE", "--json").ok().json() == {
        "code": "ACCESS_PURPOSE",
        "grpc_status": "PERMISSION_DENIED",
        "meaning": info.meaning,
        "action": info.action,
    }


def test_all_codes(simpul: Simpul) -> None:
    assert len(simpul("explain").ok().out.splitlines()) == len(Code) + 1
    found = simpul("explain", "--json").ok().json()["errors"]
    assert {row["code"] for row in found} == set(Code)


def test_an_unknown_code_names_the_nearest(simpul: Simpul) -> None:
    ran = simpul("explain", "ACCESS_PURPOS")
    assert ran.code == 1
    assert "did you mean ACCESS_PURPOSE?" in ran.err
    assert "lists all codes" in simpul("explain", "zzz").err
