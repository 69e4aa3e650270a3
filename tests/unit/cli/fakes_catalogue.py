"""The part of a node's admin API that is about the catalogue, in memory."""

import grpc

from simpul.node.v1 import admin_pb2_grpc
from simpul.v1 import catalogue_pb2 as pb
from simpul.v1 import directory_pb2
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext

SHOWN = pb.CatalogueShowResponse(
    card=directory_pb2.ContractCard(
        package="wisata.v1",
        owner="ID/DAERAH/53.15",
        terms=directory_pb2.ContractTerms(maturity=directory_pb2.CONTRACT_MATURITY_TRIAL),
        revisions=[directory_pb2.CardRevision(number=1)],
    ),
    revision=1,
    services=[
        pb.CatalogueService(
            name="wisata.v1.Wisata",
            methods=[
                pb.CatalogueMethod(
                    name="List", comment="All\nislands.", request="wisata.v1.ListRequest",
                    response="wisata.v1.ListResponse", server_streaming=True,
                )
            ],
        )
    ],
    implementations=[
        pb.CatalogueImplementation(
            service_id="ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata", member_name="Manggarai Barat",
            revision=1, regions=["53.15"], active=False, calls=7, answered=3,
        )
    ],
    counted_since_ms=1_760_000_000_000,
    counted_in_part=True,
)  # fmt: skip


class FakeCatalogue(admin_pb2_grpc.NodeAdminServicer):
    """Finds one contract, on the first of two pages."""

    heard: Heard

    def SearchCatalogue(  # noqa: N802
        self, request: pb.CatalogueSearchRequest, context: Context
    ) -> pb.CatalogueSearchResponse:
        """One, or nothing."""
        self.heard.take("SearchCatalogue", request, context)
        if request.text == "nothing":
            return pb.CatalogueSearchResponse()
        hit = pb.CatalogueHit(
            package="wisata.v1", title="Islands", owner="ID/DAERAH/53.15", revision=2,
            maturity=directory_pb2.CONTRACT_MATURITY_TRIAL, implementations=4,
            fields=["wisata.v1.Island.name"] if request.field else [],
        )  # fmt: skip
        return pb.CatalogueSearchResponse(hits=[hit], total=2, next_page_token="1")

    def ShowCatalogue(  # noqa: N802
        self, request: pb.CatalogueShowRequest, context: Context
    ) -> pb.CatalogueShowResponse:
        """Islands."""
        self.heard.take("ShowCatalogue", request, context)
        return SHOWN

    def SnippetCatalogue(  # noqa: N802
        self, request: pb.CatalogueSnippetRequest, context: Context
    ) -> pb.CatalogueSnippetResponse:
        """What it would call."""
        self.heard.take("SnippetCatalogue", request, context)
        return pb.CatalogueSnippetResponse(text=f"# {request.method}\n")
