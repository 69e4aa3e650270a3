"""What operators ask about the public log: thin, like `service`."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from registry.admin_members import Context
from registry.admin_trust import TrustAdmin
from registry.directory import log_proof
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import METADATA, Role
from registry.directory.log import read_leaves
from registry.directory.publisher import newest_root
from security.errors import Code, SimpulError
from security.public_log import Head, Kind, Leaf, parse_leaf
from simpul.registry.v1 import admin_pb2

LOG_PAGE: Final = 100
MAX_LISTED: Final = 1000


class LogAdmin(TrustAdmin):
    """The part of simpul.registry.v1.RegistryAdmin that is about the public log."""

    _folder: PublishedFolder

    async def ListLog(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ListLogRequest, _context: Context
    ) -> admin_pb2.ListLogResponse:
        """A part of the log, the oldest first."""
        start = request.start if request.HasField("start") else None
        count = min(request.count or LOG_PAGE, MAX_LISTED)

        def work() -> tuple[Head, list[tuple[int, Leaf]]]:
            head = self._head()
            found = self._leaves(head, request.path)
            if start is None:
                return head, list(found)[-count:]
            return head, list(islice((item for item in found if item[0] >= start), count))

        head, leaves = await self._desk.read(work)
        return admin_pb2.ListLogResponse(
            size=head.size,
            root=head.root,
            leaves=[
                admin_pb2.LogLeaf(
                    number=number,
                    kind=leaf.kind,
                    version=leaf.version,
                    path=leaf.path,
                    sha256=bytes.fromhex(leaf.sha256),
                    at_ms=leaf.at_ms,
                )
                for number, leaf in leaves
            ],
        )

    async def ShowLogProof(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ShowLogProofRequest, _context: Context
    ) -> admin_pb2.ShowLogProofResponse:
        """That a leaf is in the log."""

        def work() -> bytes:
            leaves = list(read_leaves(self._folder, self._head().size))
            newest = newest_root(self._folder).version
            roots = [
                self._folder.read(f"{METADATA}/{version}.{Role.ROOT}.json")
                for version in range(2, newest + 1)
            ]
            timestamp = self._folder.read(TIMESTAMP_NAME)
            return log_proof.make(leaves, request.number, timestamp, roots)

        return admin_pb2.ShowLogProofResponse(proof=await self._desk.read(work))

    def _head(self) -> Head:
        head = self._trust.log_head()
        if head is None:
            raise SimpulError(Code.NOT_FOUND, "there is no log yet: it begins with a publication")
        return head

    def _leaves(self, head: Head, path: str) -> Iterator[tuple[int, Leaf]]:
        for number, data in enumerate(read_leaves(self._folder, head.size)):
            leaf = parse_leaf(data)
            if not path or (leaf.kind is Kind.FILE and leaf.path == path):
                yield number, leaf
