"""`simpul call`: calls a method through the local node, from JSON to JSON.

Everything goes the way of any other app: through the gateway, with a credential, under an
agreement. The contract comes from the node's copy of the directory. Without `--token` the command
asks the node for a credential that lives for a minute, and has it removed when the call is over.

Output. An answer is printed as JSON, indented where the method answers once, otherwise one line for
each message as it arrives; the call's id goes to stderr. With `--json` a method that answers once
prints one document with `call_id`, `response`, `headers` and `trailers`; a streaming one prints
`{"response": …}` for each message and last the rest. Field names are the contract's own.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.gather import Ready, Wish, gather, wish_of
from cli.options import AsJson, NodeHomeDir, examples
from cli.output import (
    INDENT,
    CommandError,
    print_hint,
    print_json,
    print_json_line,
    print_line,
    refusal,
)
from security.errors import Code
from security.identifiers import ServiceId, check_service_name

if TYPE_CHECKING:
    from cli.dynamic import Contract, Method
    from cli.gateway import Ending, Metadata
    from simpul.node.v1.admin_pb2_grpc import NodeAdminAsyncStub

CREDENTIAL_TTL_S = 60

_WISATA = "ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata"
EPILOG = examples(
    f'simpul call --home C {_WISATA} Get -d \'{{"code": "53.15.40084"}}\'',
    f"simpul call --home C {_WISATA} List -d '{{\"limit\": 3}}' --json",
    f"simpul call --home C {_WISATA} Import -d @islands.jsonl",
    "simpul call --home C wisata.v1.Wisata List --region '53.*' --partial",
    f'echo \'{{"name": "komodo"}}\' | simpul call --home C {_WISATA} Chat -d -',
)


@dataclass(frozen=True, slots=True)
class Ask:
    """What the user asked for."""

    # A service's id, or its name alone where regions are named in place of a provider.
    service: ServiceId | str
    method: str
    data: str | None
    sender: str | None
    token: str | None
    said: "Metadata"
    timeout_s: float | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the node said: where to call, with which contract, by which credential."""

    gateway: str
    contract: "Contract"
    method: "Method"
    metadata: "Metadata"
    requests: AsyncIterator[bytes]


def call(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE-ID", help="Whose service to call; with --region its name alone."
        ),
    ],
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method's name: List.")],
    home: NodeHomeDir,
    data: Annotated[
        str | None,
        typer.Option(
            "-d",
            "--data",
            metavar="JSON",
            help="The request; @FILE reads a file, - stdin. A streamed request is one JSON value a "
            "line, or a list. None: an empty message.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Regions instead of a provider: 53.15, or several: 53.15,52.08, 53.* or *.",
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="With --region: some regions are enough.")
    ] = False,
    first: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="With --region: N regions that answer are enough."),
    ] = None,
    part_timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.001, help="With --region: the time of each."),
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="SUBSYSTEM", help="Who calls; needed only where several may."
        ),
    ] = None,
    purpose: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What for; needed only where the agreement has several."),
    ] = None,
    on_behalf_of: Annotated[
        str | None,
        typer.Option(
            "--on-behalf-of",
            metavar="MEMBER",
            help="In whose name, where it isn't the caller's own; as the agreement says.",
        ),
    ] = None,
    consent: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE", help="The citizen's consent, where the purpose rests on one."
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The citizen that it concerns.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The end user, for the record.")
    ] = None,
    issue: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The case number, for the record.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "-H",
            "--header",
            metavar="KEY=VALUE",
            help="More metadata; may be given several times. The value of a -bin key is base64.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.001, help="The deadline; none: no deadline."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="SIMPUL_APP_TOKEN",
            help="An app's token; none: the node is asked for one that lives for a minute.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Call a method through the local node: JSON in, JSON out.

    The contract comes from the federation's directory.
    """
    wish = None if region is None else wish_of(region, first, part_timeout, partial=partial)
    if wish is None and (partial or first is not None or part_timeout is not None):
        raise typer.BadParameter(
            "--partial, --first and --part-timeout are for calls to many regions",
            param_hint="--region",
        )
    ask = Ask(
        service=_service(service, by_region=wish is not None),
        method=method,
        data=data,
        sender=sender,
        token=token,
        said=_said(
            (
                ("simpul-purpose", purpose),
                ("simpul-on-behalf-of", on_behalf_of),
                ("simpul-consent", consent),
                ("simpul-subject", subject),
                ("simpul-user", user),
                ("simpul-issue", issue),
            ),
            header or [],
        ),
        timeout_s=timeout,
        as_json=as_json,
    )
    asyncio.run(_call(ask, home) if wish is None else _gather(ask, wish, home))


def _service(text: str, *, by_region: bool) -> ServiceId | str:
    """Whose service; or of whichever region, by its name alone."""
    if not by_region:
        return ServiceId.parse(text)
    check_service_name(text)
    return text


def _said(named: Iterable[tuple[str, str | None]], headers: list[str]) -> "Metadata":
    from cli.gateway import entry
    from cli.gateway import header as parse_header

    return (
        *(entry(key, value) for key, value in named if value is not None),
        *(parse_header(text) for text in headers),
    )


async def _call(ask: Ask, home: Path) -> None:
    from cli.admin import find_node, node_admin
    from cli.gateway import Target, run_call

    async with node_admin(find_node(home)) as stub, _prepared(stub, ask) as ready:
        printer = _Printer(ask, ready)
        target = Target(
            gateway=ready.gateway,
            path=f"/{_name(ask.service)}/{ready.method.name}",
            metadata=ready.metadata,
            timeout_s=ask.timeout_s,
            client_streaming=ready.method.client_streaming,
        )
        try:
            ending = await run_call(target, ready.requests, printer.message)
        except CommandError as error:
            call_id = error.failure.extra.get("call_id")
            if call_id is not None and not ask.as_json:
                print_hint(f"call_id {call_id}")
            raise
        printer.end(ending)


async def _gather(ask: Ask, wish: Wish, home: Path) -> None:
    from cli.admin import find_node, node_admin

    async with node_admin(find_node(home)) as stub, _prepared(stub, ask) as ready:
        if ready.method.client_streaming:
            raise refusal(
                Code.GATHER_METHOD,
                f"{ready.method.name} takes a stream of requests, which can't go to many: name "
                "one provider",
            )
        wanted = Ready(
            ready.gateway, ready.contract, ready.method, _name(ask.service), ready.metadata,
            ask.timeout_s, ask.as_json,
        )  # fmt: skip
        await gather(wanted, wish, await anext(ready.requests))


def _name(service: ServiceId | str) -> str:
    return service if isinstance(service, str) else service.service


async def _encoded(ask: Ask, contract: "Contract", method: "Method") -> AsyncIterator[bytes]:
    from cli.inputs import read_values

    async for value in read_values(ask.data, streaming=method.client_streaming):
        yield contract.encode(method.request, value)


async def _requests(ask: Ask, contract: "Contract", method: "Method") -> AsyncIterator[bytes]:
    """All messages, encoded before the call begins; only what is typed while it runs is not."""
    from cli.inputs import needs_stdin

    encoded = _encoded(ask, contract, method)
    if method.client_streaming and needs_stdin(ask.data):
        return encoded
    return _replayed([data async for data in encoded])


async def _replayed(messages: list[bytes]) -> AsyncIterator[bytes]:
    for data in messages:
        yield data


@asynccontextmanager
async def _prepared(stub: "NodeAdminAsyncStub", ask: Ask) -> AsyncIterator[Prepared]:
    from cli.dynamic import Contract
    from simpul.node.v1 import admin_pb2

    # First contract and request: what is wrong with them is said before any credential is made.
    wanted = admin_pb2.GetContractRequest(service_id=str(ask.service))
    contract = Contract((await stub.GetContract(wanted)).descriptor_set, _name(ask.service))
    method = contract.method(ask.method)
    requests = await _requests(ask, contract, method)
    status = await stub.Status(admin_pb2.StatusRequest())
    async with _credential(stub, ask) as proof:
        to: Metadata = ()
        if isinstance(ask.service, ServiceId):
            to = (("simpul-to", str(ask.service.subsystem)),)
        yield Prepared(status.gateway, contract, method, (*to, *proof, *ask.said), requests)


@asynccontextmanager
async def _credential(stub: "NodeAdminAsyncStub", ask: Ask) -> AsyncIterator["Metadata"]:
    """The app's token and subsystem, as metadata; a token made here is removed again."""
    from cli.gateway import entry
    from simpul.node.v1 import admin_pb2

    if ask.token is not None:
        chosen = () if ask.sender is None else (entry("simpul-from", ask.sender),)
        yield (entry("simpul-token", ask.token), *chosen)
        return
    sender = await _only_consumer(stub, ask.service) if ask.sender is None else ask.sender
    name = f"simpul-call-{secrets.token_hex(8)}"
    added = await stub.AddApp(
        admin_pb2.AddAppRequest(name=name, subsystems=[sender], ttl_s=CREDENTIAL_TTL_S)
    )
    try:
        yield (entry("simpul-token", added.token), entry("simpul-from", sender))
    finally:
        # It expires by itself; this only makes the list of apps clean at once.
        with contextlib.suppress(Exception):
            await stub.RemoveApp(admin_pb2.RemoveAppRequest(name=added.name))


async def _only_consumer(stub: "NodeAdminAsyncStub", service: ServiceId | str) -> str:
    """The one subsystem of this node that an agreement lets call `service`."""
    from simpul.node.v1 import admin_pb2

    answer = await stub.ListAgreements(admin_pb2.ListAgreementsRequest())
    found = {
        consumer
        for item in answer.agreements
        if item.side in {"consumer", "both"}
        and item.state == "active"
        and (isinstance(service, str) or item.provider == str(service.subsystem))
        and _name(service) in item.service.split(", ")
        for consumer in item.consumers
    }
    match sorted(found):
        case [only]:
            return only
        case []:
            raise refusal(
                Code.ACCESS_NO_AGREEMENT,
                f"no agreement lets a subsystem of this node call {service}: "
                "have the provider allow it, or say who calls with --from",
            )
        case several:
            raise refusal(
                Code.APP_SUBSYSTEM_AMBIGUOUS,
                f"{' and '.join(several)} may call {service}: choose one with --from",
            )


class _Printer:
    """Prints what a call answers."""

    def __init__(self, ask: Ask, ready: Prepared) -> None:
        self._ask = ask
        self._ready = ready
        self._streaming = ready.method.server_streaming
        self._answers: list[object] = []

    def message(self, data: bytes) -> None:
        """One answer: at once where there may be several, otherwise kept until the end."""
        value = self._ready.contract.decode(self._ready.method.response, data)
        if not self._streaming:
            self._answers.append(value)
        elif self._ask.as_json:
            print_json_line({"response": value})
        else:
            print_line(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def end(self, ending: "Ending") -> None:
        """The end of a call that went well; raises where an only answer isn't just one."""
        if not self._streaming and len(self._answers) != 1:
            raise refusal(
                Code.INTERNAL,
                f"{self._ready.method.name} answers with one message by its contract, and "
                f"{len(self._answers)} came",
            )
        if self._ask.as_json:
            self._end_json(ending)
            return
        for answer in self._answers:
            print_line(json.dumps(answer, ensure_ascii=False, indent=INDENT))
        if ending.call_id is not None:
            print_hint(f"call_id {ending.call_id}")

    def _end_json(self, ending: "Ending") -> None:
        from cli.gateway import shown

        document: dict[str, object] = {
            "call_id": ending.call_id,
            "service_id": str(self._ask.service),
            "method": self._ready.method.name,
            "grpc_status": "OK",
            "headers": shown(ending.headers),
            "trailers": shown(ending.trailers),
        }
        if self._streaming:
            print_json_line(document)
        else:
            print_json({**document, "response": self._answers[0]})
