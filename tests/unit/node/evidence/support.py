"""A node's home as far as evidence is read from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from node.directory.archive import DirectoryArchive
from node.directory.folder import CURRENT, INDEX, Index
from node.home import NodeHome
from node.journal.checkpoints import KeptCheckpoint
from node.journal.kept.keys import Keys
from node.journal.model import Direction, LinkEnd, ParcelRecord
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append
from node.store.agreement_lives import Taken, take_step
from node.store.agreements import Pin, StoredAgreement, get_agreement, save_agreement
from node.store.engine import Store
from security.agreement import agreement_hash
from security.agreement_life import Party, Step
from security.checkpoint import Checkpoint, sign_checkpoint
from security.cosignature import cosign
from security.keys import PrivateKey
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support import agreements, directories
from tests.support.evidence import (
    ISSUED_MS,
    MINISTRY,
    REGENCY,
    WITNESSED_S,
    WITNESSES,
    Parcel,
    Scene,
    Side,
    origin,
)
from tests.support.published import Published


@dataclass
class Home:
    """One side's node. Both sides' are written from the same parcels."""

    home: NodeHome
    side: Side

    @classmethod
    def make(cls, folder: Path, side: Side, root: bytes) -> "Home":
        folder.mkdir()
        (folder / "root.json").write_bytes(root)
        return cls(NodeHome.at(folder), side)

    def keep_directory(self, published: Published, root: bytes) -> None:
        """As the replica does with each generation that it takes."""
        generation = self.home.directory / f"{len(list(self.home.path.rglob('*'))):08d}"
        metadata = generation / "metadata"
        (metadata / "root_history").mkdir(parents=True)
        (metadata / "root_history" / "1.root.json").write_bytes(root)
        blobs = self.home.directory / "blobs"
        blobs.mkdir(exist_ok=True)
        for name, data in published.roles.items():
            (metadata / f"{name}.json").write_bytes(data)
        targets = {
            path: data for path, data in published.files.items() if path == "policy" or "/" in path
        }
        # In the copy in use, and in no evidence.
        contract, definitions = directories.contract_file()
        targets[contract] = definitions
        for data in targets.values():
            (blobs / sha256(data).hexdigest()).write_bytes(data)
        index = Index(
            fixed.FEDERATION,
            7,
            published.hash,
            ISSUED_MS,
            ISSUED_MS,
            {path: sha256(data).hexdigest() for path, data in targets.items()},
        )
        (generation / INDEX).write_bytes(index.to_json())
        for timestamp in published.shown.timestamps:
            (metadata / "timestamp.json").write_bytes(timestamp)
            DirectoryArchive(self.home.directory).keep(generation, index)

    def use_newest(self) -> None:
        """Have the directory that was kept last be the one in use."""
        newest = max(path for path in self.home.directory.iterdir() if path.name.isdecimal())
        (self.home.directory / CURRENT).unlink(missing_ok=True)
        (self.home.directory / CURRENT).symlink_to(newest.name)

    def agree(self, signed: agreement_pb2.SignedAgreement) -> None:
        """Store an agreement, and pin the other side's key."""
        own, other = (fixed.MINISTRY, fixed.REGENCY)
        if self.side is not MINISTRY:
            own, other = other, own
        pin = Pin(own, other, fixed.key(f"{other} identity").public)
        store = Store.open(self.home.state)
        stored = StoredAgreement(
            agreement_hash(signed.agreement),
            signed.agreement,
            signed.provider_signature,
            signed.consumer_signature,
            str(fixed.REGENCY),
            str(fixed.MINISTRY),
            fixed.NOW_MS,
        )
        save_agreement(store, stored, [pin])
        store.close()

    def proposed(
        self, note: str, counters: bytes, *, by: Side = REGENCY, accepted_after_ms: int = 0
    ) -> None:
        """Take the steps by which the agreement was made, as operators do."""
        signed = agreements.signed()
        store = Store.open(self.home.state)
        stored = get_agreement(store, agreement_hash(signed.agreement))
        mine = self.side is by
        proposer, other = Party.PROVIDER, Party.CONSUMER
        if by is MINISTRY:
            proposer, other = other, proposer
        at_ms = fixed.NOW_MS
        step = Taken(Step.PROPOSE, proposer, at_ms, mine, reason=note, counters=counters or None)
        take_step(store, stored, step)
        take_step(store, stored, Taken(Step.ACCEPT, other, at_ms + accepted_after_ms, not mine))
        store.close()

    def journal(
        self,
        parcels: Sequence[Parcel],
        *,
        keys: Keys | None = None,
        watched: bool = True,
        at_ms: int = fixed.NOW_MS,
    ) -> None:
        """Append them all, and have a checkpoint over them cosigned."""
        place = self.home.journal
        store = SqliteJournalStore.open(place, keys)
        lease, head = store.take(0, "test", now_ms=at_ms, lease_ms=10_000)
        group = [Append((self._record(item, kept=keys is not None),)) for item in parcels]
        done = store.append(lease, head, group, now_ms=at_ms)
        assert done.refused == {}
        store.release(lease)
        store.close()
        if watched:
            self.watch()

    def watch(self, key: PrivateKey | None = None) -> None:
        """Sign the tree as it is, by the node's key as a rule, and have it cosigned."""
        store = SqlCheckpointStore.open(self.home.journal)
        (head,) = store.heads()
        node = self.side.node
        tree = Checkpoint(origin(node), head.tree.size, head.tree.root())
        signed = sign_checkpoint(tree, key or fixed.key(f"{node} node"))
        lines = [cosign(tree.text, name, fixed.key(name), WITNESSED_S) for name in WITNESSES]
        note = signed.note.with_signatures(lines).to_bytes()
        store.save(KeptCheckpoint(0, head.tree.size, note, fixed.NOW_MS, WITNESSED_S * 1000 + 999))

    def _record(self, parcel: Parcel, *, kept: bool) -> ParcelRecord:
        mine = parcel.fields.member == self.side.member
        is_ministry = self.side is MINISTRY
        return ParcelRecord(
            Direction.SENT if mine else Direction.RECEIVED,
            str(fixed.REGENCY_NODE if is_ministry else fixed.MINISTRY_NODE),
            str(parcel.fields.member),
            parcel.fields.link_id,
            LinkEnd.DIALLER if is_ministry else LinkEnd.ACCEPTOR,
            parcel.fields.number,
            parcel.fields.sealed_at_ms,
            parcel.header,
            parcel.seal,
            parcel.hash,
            tuple(parcel.entries),
            tuple(range(len(parcel.entries))) if kept else (),
        )


def make(folder: Path, side: Side, scene: Scene) -> Home:
    """A home with the scene's root and directories, and the agreement."""
    home = Home.make(folder, side, scene.registry.roots[0])
    for published in scene.published:
        home.keep_directory(published, scene.registry.roots[0])
    home.agree(agreements.signed())
    return home
