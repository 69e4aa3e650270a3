"""A snippet of what the directory has: which method, in which language, of which provider. Pure.

Source: docs/spec, "Catalogue".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from node.catalogue.places import Implementations
from node.catalogue.show import find
from node.catalogue.snippets.called import Called, Gateway, make_called
from node.catalogue.snippets.golang import golang
from node.catalogue.snippets.grpcurl import grpcurl
from node.catalogue.snippets.java import java
from node.catalogue.snippets.javascript import javascript
from node.catalogue.snippets.python import python
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import RegionCode, SubsystemId
from simpul.v1 import catalogue_pb2 as pb

LANGUAGES: Final[Mapping[int, Callable[[Called], str]]] = MappingProxyType(
    {
        pb.CATALOGUE_LANGUAGE_PYTHON: python,
        pb.CATALOGUE_LANGUAGE_GO: golang,
        pb.CATALOGUE_LANGUAGE_JAVA: java,
        pb.CATALOGUE_LANGUAGE_JAVASCRIPT: javascript,
        pb.CATALOGUE_LANGUAGE_GRPCURL: grpcurl,
    }
)
# Where nobody implements the contract yet.
NOBODY: Final = "ID/DAERAH/53.15/pariwisata"


def snippet(
    directory: DirectoryView,
    known: Implementations,
    request: pb.CatalogueSnippetRequest,
    gateway: Gateway,
) -> str:
    """A client's source.

    Raises:
        SimpulError: REQUEST_MALFORMED, ID_MALFORMED; CONTRACT_UNKNOWN, METHOD_UNKNOWN;
            PROTOSET_INVALID for a contract whose names no source can hold.
    """
    written = LANGUAGES.get(request.language)
    if written is None:
        raise SimpulError(
            Code.REQUEST_MALFORMED, "the language is none; it is one of simpul.v1.CatalogueLanguage"
        )
    service, _, method = request.method.removeprefix("/").partition("/")
    contract = find(directory, service)
    if service not in contract.revision.services:
        # A contract's name stands for its only service.
        service = _only(sorted(contract.revision.services), contract.card.package)
    metadata = _address(request, known, contract.card.package, service)
    return written(
        make_called(
            contract.descriptor_set, contract.card.package, service, method, request.request_json,
            gateway, metadata,
        )
    )  # fmt: skip


def _only(services: list[str], package: str) -> str:
    if len(services) == 1:
        return services[0]
    raise SimpulError(
        Code.REQUEST_MALFORMED,
        f"{package} has several services; name one: {', '.join(services)}",
    )


def _address(
    request: pb.CatalogueSnippetRequest, known: Implementations, package: str, service: str
) -> tuple[tuple[str, str], ...]:
    if request.to and request.region:
        raise SimpulError(Code.REQUEST_MALFORMED, "say to whom, or for which region; not both")
    if request.region:
        return (("simpul-region", str(RegionCode.parse(request.region))),)
    if request.to:
        return (("simpul-to", str(SubsystemId.parse(request.to))),)
    own = [made for made in known.get(package, ()) if made.service.service == service]
    first = next((made for made in own if made.active), None)
    return (("simpul-to", NOBODY if first is None else str(first.service.subsystem)),)
