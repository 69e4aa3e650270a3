"""`simpul explain`: what an error's code means and what to do about it."""

import difflib
from typing import Annotated

import typer

from cli.options import AsJson, examples
from cli.output import (
    print_hint,
    print_json,
    print_pairs,
    print_table,
    refusal,
)
from security.error_codes import Status
from security.errors import ERRORS, Code, ErrorInfo

EPILOG = examples("simpul explain ACCESS_NO_AGREEMENT", "simpul explain --json")


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="The code; none: all of them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what an error's code means and what to do about it."""
    if code is None:
        _explain_all(as_json)
        return
    known = _find(code)
    info = ERRORS[known]
    if as_json:
        print_json(_row(known, info))
        return
    print_pairs(
        (
            ("code", known.value),
            ("meaning", info.meaning),
            ("what to do", info.action),
            ("gRPC status", _status(info)),
        )
    )


def _explain_all(as_json: bool) -> None:
    rows = sorted(ERRORS.items())
    if as_json:
        print_json({"errors": [_row(code, info) for code, info in rows]})
        return
    print_table(
        ("CODE", "MEANING"), ((code.value, info.meaning) for code, info in rows), empty="no codes"
    )
    print_hint("What to do about one: simpul explain CODE")


def _find(text: str) -> Code:
    name = text.strip().upper().replace("-", "_")
    try:
        return Code(name)
    except ValueError as error:
        near = difflib.get_close_matches(name, [code.value for code in Code], n=1)
        hint = f"did you mean {near[0]}?" if near else "`simpul explain` lists all codes"
        raise refusal(Code.NOT_FOUND, f"there is no code {text!r}; {hint}") from error


def _row(code: Code, info: ErrorInfo) -> dict[str, object]:
    return {
        "code": code.value,
        "grpc_status": _status(info),
        "meaning": info.meaning,
        "action": info.action,
    }


def _status(info: ErrorInfo) -> str:
    return Status(info.grpc_status).name
