"""The part of the fake node that compares its record with another node's."""
# ruff: noqa: N802  (the protos' names)

from collections.abc import Iterator

import grpc

from simpul.node.v1 import admin_pb2 as node_pb
from simpul.node.v1 import admin_pb2_grpc as node_grpc
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext

HOUR_MS = 1_700_002_800_000
LOST = node_pb.ParcelDifference(
    finding="missing there", serious=True, link_id=b"l" * 32, sent=True, number=7,
    sealed_at_ms=HOUR_MS + 5, acknowledged=True, header_hash_here=b"h" * 32,
)  # fmt: skip


class FakeJournal(node_grpc.NodeAdminServicer):
    """Two hours; `differences` are found in the second."""

    heard: Heard
    differences: tuple[node_pb.ParcelDifference, ...] = ()
    more = False
    archived = False

    def ReconcileJournal(
        self, request: node_pb.ReconcileJournalRequest, context: Context
    ) -> Iterator[node_pb.ReconcileJournalResponse]:
        self.heard.take("ReconcileJournal", request, context)
        found = self.differences
        for number, differences in enumerate(((), found)):
            hour = node_pb.ReconciledHour(
                from_ms=HOUR_MS + number * 3_600_000,
                acknowledged_here=20,
                acknowledged_there=20 - len(differences),
                unacknowledged_here=1,
                unacknowledged_there=1,
                differences=differences,
                archived_there=self.archived and number == 0,
            )
            yield node_pb.ReconcileJournalResponse(hour=hour)
            progress = node_pb.ReconciliationProgress(hours_done=number + 1, hours_total=2)
            yield node_pb.ReconcileJournalResponse(progress=progress)
        yield node_pb.ReconcileJournalResponse(
            summary=node_pb.ReconciliationSummary(
                peer=request.peer,
                from_ms=HOUR_MS,
                until_ms=HOUR_MS + 7_200_000,
                parcels=42,
                differences=len(found),
                serious=sum(item.serious for item in found),
                more=self.more,
                questions=3,
                asked_bytes=100,
                answered_bytes=200,
                archived_hours=1 if self.archived else 0,
                held_from_there_ms=HOUR_MS + 3_600_000 if self.archived else 0,
            )
        )
