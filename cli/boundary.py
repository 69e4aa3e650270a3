"""The one place where a command's exception becomes an exit code and a line for people.

    0    done
    1    refused or failed: `simpul: CODE: message`, and below it what to do
    2    wrong usage: the same with the code USAGE
    130  stopped with Ctrl-C, quietly

No traceback meets a user: an unexpected exception is INTERNAL, and `simpul --debug` before the
command (or SIMPUL_DEBUG=1) shows where it came from. With `--json` stdout gets the error too, as
`{"error": {"code", "message", "action"}}`: the last line where results had been printed before.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Never

import typer
from typer.core import TyperGroup

from cli.output import CommandError, Failure, failure_of, print_failure
from security.errors import Code, SimpulError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

DEBUG_VARIABLE = "SIMPUL_DEBUG"
DEBUG_HINT = "Report it, with what is shown when --debug stands before the command: simpul --debug"


class Boundary(TyperGroup):
    """The root command: runs what was asked and ends the process with its exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002  (see below)
        windows_expand_args: bool = True,
        **extra: Any,  # noqa: ANN401  (as the base class has it)
    ) -> Never:
        """Always raises `SystemExit`, whatever `standalone_mode` says."""
        given = list(sys.argv[1:] if args is None else args)
        sys.exit(self._run(given, prog_name, complete_var, windows_expand_args, extra))

    def _run(
        self,
        args: list[str],
        prog_name: str | None,
        complete_var: str | None,
        windows_expand_args: bool,
        extra: dict[str, Any],
    ) -> int:
        try:
            # Not standalone: typer then raises what it would otherwise print in a form of its own.
            result = super().main(
                args, prog_name, complete_var, False, windows_expand_args, **extra
            )
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except BrokenPipeError:
            return _pipe_closed()
        except Exception as error:  # noqa: BLE001  (the boundary: nothing passes it)
            return _report(error, args)
        # `typer.Exit` comes back as its code; commands themselves return nothing.
        return result if isinstance(result, int) else EXIT_DONE


def _report(error: Exception, args: list[str]) -> int:
    as_json = asks_for_json(args)
    if _debugs(args):
        traceback.print_exception(error)
    match error:
        case CommandError(failure=failure):
            print_failure(failure, as_json=as_json)
        case SimpulError():
            print_failure(failure_of(error), as_json=as_json)
        case typer.Abort():
            return EXIT_FAILED
        case _ if _is_usage(error):
            return _report_usage(error, as_json=as_json)
        case _:
            message = f"unexpected {type(error).__name__}: this is a fault of simpul itself"
            print_failure(Failure(Code.INTERNAL.value, message, DEBUG_HINT), as_json=as_json)
    return EXIT_FAILED


def asks_for_json(args: Sequence[str]) -> bool:
    """Whether `--json` stands among the arguments, before any `--`.

    Asked of the arguments themselves, because a wrong usage is found before they are parsed.
    """
    return "--json" in _before_dashes(args)


def _debugs(args: Sequence[str]) -> bool:
    return "--debug" in _before_dashes(args) or os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


def _before_dashes(args: Sequence[str]) -> Sequence[str]:
    return args[: args.index("--")] if "--" in args else args


def _is_usage(error: Exception) -> bool:
    """Whether the parser raised it: its classes have no public name in every version of typer."""
    return getattr(error, "exit_code", None) is not None and hasattr(error, "format_message")


def _report_usage(error: Exception, *, as_json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        # Its message is the help, which says more than an error could.
        sys.stderr.write(str(error) + "\n")
        return EXIT_USAGE
    message = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    command = "simpul" if context is None else str(context.command_path)
    print_failure(Failure("USAGE", message, f"See: {command} --help"), as_json=as_json)
    return EXIT_USAGE


def _pipe_closed() -> int:
    """The reader of our output has gone (`| head`): nothing is left to say, nor to flush."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
    return EXIT_FAILED
