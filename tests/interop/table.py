"""The interoperability table: `python -m tests.interop.table`, Markdown on stdout.

Every case, with every client, directly at the service and through two nodes. The two columns of a
client must be the same; where it can't make a case, it says so with a dash.
"""

import asyncio
import inspect
import sys
from collections.abc import Callable
from typing import Any

from tests.interop import cases, node_client, sync_cases
from tests.interop.federation import Way, Ways, federation

Results = dict[str, str]

TITLE = """# Interoperability

gRPC's [interoperability cases](https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md),
each made directly at a service and through two nodes, by clients that know nothing of Simpul: an
address and two metadata keys are all that differs. A dash: the client can't make that case (it does
not compress message by message). Whether messages came compressed is looked up in the bytes, by a
client of this project's own at HTTP/2 level, in the first two columns; the other clients look at the
messages.

Written by `python -m tests.interop.table`; `make test` fails where the columns differ.
"""  # noqa: E501
CREDENTIALS = """
The cases about credentials of one cloud (`compute_engine_creds`, `jwt_token_creds` and their kin),
and `cacheable_unary`, which gRPC has given up, are not made.

## What still differs

Each is HTTP's and not gRPC's, or a limit; `tests/interop` shows every one.

| what | where |
| --- | --- |
| `date` in the initial metadata | stated by Envoy, where the service states none |
| `simpul-call-id` in the trailing metadata | on every answer, on purpose |
| `x-forwarded-proto` of an app | replaced by Envoy, so never carried |
| order of headers with different keys | HTTP's to choose; within one key it is kept |
| `:authority`, the subtype in `content-type` | each leg's own |
| an empty `grpc-message` on OK | left out |
"""


def grpc_aio(way: Way) -> Results:
    """Every case with Python's grpc.aio."""

    async def run() -> Results:
        found: Results = {}
        for case in cases.CASES:
            async with cases.client(way) as one:
                found[case.__name__] = await _outcome(case, one)
        return found

    return asyncio.run(run())


def grpc_sync(way: Way) -> Results:
    """The cases that Python's grpc can make."""
    found: Results = {}
    for case in sync_cases.CASES:
        with sync_cases.client(way) as one:
            found[case.__name__] = asyncio.run(_outcome(case, one))
    return found


CLIENTS: dict[str, Callable[[Way], Results]] = {
    "Python grpc.aio": grpc_aio,
    "Python grpc": grpc_sync,
    "Node.js grpc-js": node_client.run,
}


async def _outcome(case: Callable[[Any], Any], one: cases.Client) -> str:
    try:
        made = case(one)
        if inspect.isawaitable(made):
            await made
    except Exception as error:  # noqa: BLE001 - whatever it is, it stands in the table
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return "ok"


def table(ways: Ways) -> str:
    """All cases by all clients, both ways."""
    columns: list[tuple[str, Results]] = []
    for name, run in CLIENTS.items():
        if run is node_client.run and node_client.missing():
            continue
        columns += [(f"{name}, {way.name}", run(way)) for way in ways.both]
    rows = [
        ["case", *(title for title, _ in columns)],
        ["---", *("---" for _ in columns)],
        *(
            [f"`{case.__name__}`", *(results.get(case.__name__, "-") for _, results in columns)]
            for case in cases.CASES
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    with federation() as running:
        sys.stdout.write(f"{TITLE}\n{table(running)}\n{CREDENTIALS}")
