"""`simpul call --region` and `simpul gather`: many regions in one call, and what came of it.

Each answer is printed as it arrives, as one line of JSON with who gave it; when all is over, a
table of the parts. With `--json` the last line has the parts. A gather that lacks parts ends with
exit code 1, unless `--partial` was said.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cli.journal_calls import parse_call_id, status_name
from cli.options import AsJson, NodeHomeDir, examples
from cli.output import (
    CommandError,
    print_hint,
    print_json,
    print_json_line,
    print_pairs,
    print_table,
    refusal,
    when,
)
from cli.places import journal_of
from security.errors import Code

if TYPE_CHECKING:
    from cli.dynamic import Contract, Method
    from cli.gateway import Metadata
    from node.journal.model import GatheredCall
    from simpul.v1.gather_pb2 import GatherCallResponse

PATH = "/simpul.v1.Gather/Call"

app = typer.Typer(no_args_is_help=True, help="Look at calls that went to many regions.")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked of many regions."""

    regions: tuple[str, ...]
    first: int
    part_timeout_ms: int
    partial: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """Where to call, with which contract, by which credential."""

    gateway: str
    contract: "Contract"
    method: "Method"
    service: str
    metadata: "Metadata"
    timeout_s: float | None
    as_json: bool


async def gather(ready: Ready, wish: Wish, request: bytes) -> None:
    """Makes the call, and prints answers and parts.

    Raises:
        CommandError: it was refused, or parts are missing.
    """
    from cli.gateway import Target, run_call
    from simpul.v1 import gather_pb2

    asked = gather_pb2.GatherCallRequest(
        method=f"{ready.service}/{ready.method.name}",
        regions=wish.regions,
        request=request,
        first=wish.first,
        part_timeout_ms=wish.part_timeout_ms,
        partial_ok=wish.partial,
    )
    ends: list[GatherCallResponse] = []

    def take(data: bytes) -> None:
        response = gather_pb2.GatherCallResponse.FromString(data)
        if response.HasField("payload"):
            said = ready.contract.decode(ready.method.response, response.payload)
            print_json_line(
                {"region": response.region, "provider": response.provider, "response": said}
            )
        if response.HasField("end"):
            ends.append(response)

    target = Target(ready.gateway, PATH, ready.metadata, ready.timeout_s, client_streaming=False)
    try:
        ending = await run_call(target, _once(asked.SerializeToString()), take)
    except CommandError:
        _print_ends(ends, None, as_json=ready.as_json)
        raise
    gather_id = next((v for k, v in ending.trailers if k == "simpul-gather-id"), None)
    _print_ends(ends, str(gather_id), as_json=ready.as_json)


def wish_of(
    regions: str, first: int | None, part_timeout_s: float | None, *, partial: bool
) -> Wish:
    """The options, as the service takes them."""
    named = tuple(item.strip() for item in regions.split(","))
    return Wish(named, first or 0, int((part_timeout_s or 0) * 1000), partial)


@app.command(
    "report",
    epilog=examples(
        "simpul gather report 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N",
        "simpul gather report 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N --json",
    ),
)
def report(
    gather_id: Annotated[
        str,
        typer.Argument(metavar="GATHER_ID", help="32 hex digits: the trailer simpul-gather-id."),
    ],
    home: NodeHomeDir,
    as_json: AsJson = False,
) -> None:
    """Show a gather, part by part, from this node's journal."""
    from node.journal.reader import JournalReader

    wanted = parse_call_id(gather_id)
    with JournalReader(journal_of(home)) as reader:
        found = reader.gathered(wanted)
    if not found:
        raise refusal(
            Code.GATHER_UNKNOWN,
            f"the journal in {home} knows no gather {wanted.hex()}: look at the node whose app "
            "made it, or in its archives",
        )
    if as_json:
        print_json({"gather_id": wanted.hex(), "parts": [_part(each) for each in found]})
        return
    first = found[0].call
    ok = [each for each in found if each.call.status == 0]
    print_pairs(
        (
            ("gather", wanted.hex()),
            ("consumer", first.consumer or "-"),
            ("method", f"{first.service or '?'}/{first.method or '?'}"),
            ("began", when(min(each.call.opened_at_ms for each in found))),
            ("answered", f"{len(ok)} of {len(found)} calls"),
            ("messages", str(sum(each.messages for each in found))),
        )
    )
    print_table(
        ("PROVIDER", "REGION", "OUTCOME", "MESSAGES", "MS", "CALL_ID"),
        (
            (
                each.call.provider or "-",
                each.call.region or "-",
                _outcome(each),
                str(each.messages),
                "-" if (ms := _ms(each)) is None else str(ms),
                each.call.call_id.hex(),
            )
            for each in found
        ),
        empty="",
    )


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _print_ends(ends: "list[GatherCallResponse]", gather_id: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json_line({"gather_id": gather_id, "parts": [_end(each) for each in ends]})
        return
    print_table(
        ("REGION", "PROVIDER", "STATUS", "MESSAGES", "MS", "WHY"),
        (
            (
                each.region,
                each.provider or "-",
                each.end.code or status_name(each.end.status),
                str(each.end.messages),
                str(each.end.duration_ms),
                each.end.message or "-",
            )
            for each in ends
        ),
        empty="No part has ended",
    )
    if gather_id is not None:
        print_hint(f"gather_id {gather_id}")


def _end(response: "GatherCallResponse") -> dict[str, object]:
    end = response.end
    return {
        "region": response.region,
        "provider": response.provider or None,
        "call_id": end.call_id or None,
        "grpc_status": status_name(end.status),
        "code": end.code or None,
        "message": end.message,
        "messages": end.messages,
        "duration_ms": end.duration_ms,
    }


def _part(gathered: "GatheredCall") -> dict[str, object]:
    call = gathered.call
    return {
        "provider": call.provider or None,
        "region": call.region,
        "call_id": call.call_id.hex(),
        "outcome": call.outcome.value,
        "grpc_status": None if call.status is None else status_name(call.status),
        "code": call.code or None,
        "messages": gathered.messages,
        "opened_at_ms": call.opened_at_ms,
        "duration_ms": _ms(gathered),
    }


def _outcome(gathered: "GatheredCall") -> str:
    call = gathered.call
    if call.code:
        return f"{call.outcome.value} {call.code}"
    if call.status is None:
        return call.outcome.value
    return f"{call.outcome.value} {status_name(call.status)}"


def _ms(gathered: "GatheredCall") -> int | None:
    closed = gathered.call.closed_at_ms
    return None if closed is None else max(0, closed - gathered.call.opened_at_ms)
