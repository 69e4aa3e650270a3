"""What the catalogue answers, to apps and to the node's operator: one for each supervisor.

All of it happens in one thread beside the event loop, which has the index and goes by the newest
directory whenever it is asked. Nothing is told to another node or to the registry.

Source: docs/spec, "Catalogue"; docs/adr/0023.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message

from node.catalogue.index import ContractIndex, Wanted
from node.catalogue.places import Implementations, implementations, packages_where
from node.catalogue.proto_text import proto_files
from node.catalogue.query import match_field, match_text, matching_fields
from node.catalogue.show import ReadTraffic, find, show
from node.catalogue.snippets.called import Gateway
from node.catalogue.snippets.snippet import snippet
from security.contract_card import Maturity
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from simpul.v1 import catalogue_pb2 as pb
from simpul.v1 import directory_pb2

_log = structlog.get_logger(__name__)

SERVICE: Final = "simpul.v1.Catalogue"
PAGE: Final = 20
MAX_PAGE: Final = 100
MAX_OFFSET: Final = 1_000_000
# Asked at once: each takes milliseconds, but for the first one of all.
MAX_WAITING: Final = 64
# What a stock client takes has 4 MiB.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024 - 65_536
MAX_FIELDS_SHOWN: Final = 5

T = TypeVar("T")
_Request = TypeVar("_Request", bound=Message)


@dataclass(slots=True)
class _Known:
    """The index, and what of the directory it goes by isn't looked up anew each time."""

    index: ContractIndex = field(default_factory=ContractIndex)
    hash: bytes = b""
    implementations: Implementations = field(default_factory=dict)


class Catalogue:
    """Answers; `close` ends its thread."""

    def __init__(
        self,
        directory: Callable[[], DirectoryView],
        traffic: ReadTraffic,
        gateway: Gateway,
        now_ms: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._traffic = traffic
        self._gateway = gateway
        self._now_ms = now_ms
        self._thread = ThreadPoolExecutor(1, "catalogue")
        # In the thread only: SQLite's connection is of the thread that makes it.
        self._known: _Known | None = None
        self._waiting = 0

    async def answer(self, method: str, data: bytes, consumers: Collection[str]) -> list[bytes]:
        """What an app asks that may act for these subsystems: the messages of the answer.

        Raises:
            SimpulError: METHOD_UNKNOWN; REQUEST_MALFORMED; as the methods below.
        """
        found: list[Message]
        match method:
            case "Search":
                found = [await self.search(_parse(pb.CatalogueSearchRequest, data))]
            case "Show":
                found = [await self.show(_parse(pb.CatalogueShowRequest, data), consumers)]
            case "Download":
                found = [*await self.download(_parse(pb.CatalogueDownloadRequest, data))]
            case "Snippet":
                found = [await self.snippet(_parse(pb.CatalogueSnippetRequest, data))]
            case _:
                raise SimpulError(Code.METHOD_UNKNOWN, f"{SERVICE} has no {method[:80]!a}")
        return [message.SerializeToString() for message in found]

    async def search(self, request: pb.CatalogueSearchRequest) -> pb.CatalogueSearchResponse:
        """Find contracts.

        Raises:
            SimpulError: REQUEST_MALFORMED, ID_MALFORMED or REGION_UNKNOWN; OVERLOADED.
        """
        return await self._run(lambda: self._search(request))

    async def show(
        self, request: pb.CatalogueShowRequest, consumers: Collection[str] | None
    ) -> pb.CatalogueShowResponse:
        """One contract, with the calls that `consumers` made; None: all of this node's.

        Raises:
            SimpulError: CONTRACT_UNKNOWN or REQUEST_MALFORMED; OVERLOADED.
        """
        return await self._run(lambda: self._show(request, consumers))

    async def download(
        self, request: pb.CatalogueDownloadRequest
    ) -> list[pb.CatalogueDownloadResponse]:
        """A contract's files.

        Raises:
            SimpulError: CONTRACT_UNKNOWN, PROTOSET_INVALID or MESSAGE_TOO_LARGE; OVERLOADED.
        """
        return await self._run(lambda: self._download(request))

    async def snippet(self, request: pb.CatalogueSnippetRequest) -> pb.CatalogueSnippetResponse:
        """A client's source.

        Raises:
            SimpulError: as `snippets.snippet`; OVERLOADED.
        """
        return await self._run(lambda: self._snippet(request))

    async def close(self) -> None:
        """End the thread, when it has answered what it was asked."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise SimpulError(
                Code.OVERLOADED, f"{MAX_WAITING} questions wait for the catalogue; ask again soon"
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1

    # In the thread.

    def _follow(self) -> tuple[DirectoryView, _Known]:
        directory = self._directory()
        known = self._known = self._known or _Known()
        if known.hash != directory.hash:
            changed = known.index.follow(directory)
            known.implementations = implementations(directory)
            known.hash = directory.hash
            _log.debug("catalogue indexed", version=directory.version, contracts=changed)
        return directory, known

    def _search(self, request: pb.CatalogueSearchRequest) -> pb.CatalogueSearchResponse:
        limit, offset = _page(request)
        if request.maturity and request.maturity not in {each.value for each in Maturity}:
            raise _malformed("the maturity is none; it is one of simpul.v1.ContractMaturity")
        text, named = match_text(request.text), match_field(request.field)
        directory, known = self._follow()
        packages = packages_where(
            directory, known.implementations, region=request.region,
            member_class=request.member_class, now_ms=self._now_ms(),
        )  # fmt: skip
        wanted = Wanted(text, named, request.maturity, packages)
        found = known.index.search(wanted, limit, offset)
        after = offset + len(found.packages)
        return pb.CatalogueSearchResponse(
            hits=[_hit(directory, known, name, request.field) for name in found.packages],
            total=found.total,
            next_page_token=str(after) if found.packages and after < found.total else "",
            directory_version=directory.version,
        )

    def _show(
        self, request: pb.CatalogueShowRequest, consumers: Collection[str] | None
    ) -> pb.CatalogueShowResponse:
        directory, known = self._follow()
        return show(
            directory, known.implementations, request, consumers, self._traffic, self._now_ms()
        )

    def _download(self, request: pb.CatalogueDownloadRequest) -> list[pb.CatalogueDownloadResponse]:
        contract = find(self._directory(), request.name, request.revision)
        files = proto_files(contract.documented)
        for name, text in files.items():
            if len(text.encode()) > MAX_FILE_BYTES:
                raise SimpulError(
                    Code.MESSAGE_TOO_LARGE,
                    f"{name[:200]!a} has over {MAX_FILE_BYTES} bytes; ask an operator of the node "
                    "for it (simpul contract show --proto)",
                )
        return [pb.CatalogueDownloadResponse(name=name, text=text) for name, text in files.items()]

    def _snippet(self, request: pb.CatalogueSnippetRequest) -> pb.CatalogueSnippetResponse:
        directory, known = self._follow()
        text = snippet(directory, known.implementations, request, self._gateway)
        return pb.CatalogueSnippetResponse(text=text)


def _hit(
    directory: DirectoryView, known: _Known, package: str, wanted_field: str
) -> pb.CatalogueHit:
    card = directory.cards.by_package[package]
    fields: list[str] = []
    if wanted_field.strip():
        fields = matching_fields(wanted_field, known.index.fields_of(package), MAX_FIELDS_SHOWN)
    return pb.CatalogueHit(
        package=package,
        title=card.terms.title,
        owner=str(card.owner),
        maturity=directory_pb2.ContractMaturity.ValueType(card.terms.maturity.value),
        revision=card.newest.number,
        services=sorted(card.newest.services),
        implementations=len(known.implementations.get(package, ())),
        fields=fields,
    )


def _page(request: pb.CatalogueSearchRequest) -> tuple[int, int]:
    if request.page_size > MAX_PAGE:
        raise _malformed(f"a page has at most {MAX_PAGE} hits")
    token = request.page_token or "0"
    if not (token.isascii() and token.isdecimal() and len(token) < len(str(MAX_OFFSET))):
        raise _malformed("that is no page token; send next_page_token as it came")
    return request.page_size or PAGE, int(token)


def _parse(cls: type[_Request], data: bytes) -> _Request:
    try:
        return cls.FromString(data)
    except DecodeError:
        raise _malformed(f"that is no {cls.__name__}") from None


def _malformed(text: str) -> SimpulError:
    return SimpulError(Code.REQUEST_MALFORMED, text)
