"""What operators ask of a node's catalogue: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

from google.protobuf.message import Message
from grpc import aio

from node.catalogue.service import Catalogue
from simpul.node.v1 import admin_pb2_grpc
from simpul.v1 import catalogue_pb2 as pb

Context = aio.ServicerContext[Message, Message]


class CatalogueAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about the catalogue."""

    _catalogue: Catalogue

    async def SearchCatalogue(
        self, request: pb.CatalogueSearchRequest, context: Context
    ) -> pb.CatalogueSearchResponse:
        """Find contracts."""
        del context
        return await self._catalogue.search(request)

    async def ShowCatalogue(
        self, request: pb.CatalogueShowRequest, context: Context
    ) -> pb.CatalogueShowResponse:
        """One contract, with all calls of the journal."""
        del context
        return await self._catalogue.show(request, None)

    async def SnippetCatalogue(
        self, request: pb.CatalogueSnippetRequest, context: Context
    ) -> pb.CatalogueSnippetResponse:
        """A client's source."""
        del context
        return await self._catalogue.snippet(request)
