"""A node's journal and all that checkpoints it, with witnesses and authorities at hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from node.checkpoints.keeper import Keeper
from node.checkpoints.latest import LatestStore
from node.checkpoints.log import Tools
from node.checkpoints.watch import CheckpointMetrics
from node.journal.checkpoints import KeptTimestamp
from node.journal.place import PostgresPlace
from node.journal.postgres_store import PostgresJournalStore
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append, JournalStore
from runtime.witness.desk import Witness
from runtime.witness.store import WitnessStore
from security.checkpoint import SignedCheckpoint, parse_checkpoint
from security.cosignature import Cosignature, verified_cosignatures, witness_key
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.note import Note, parse_signatures
from security.oversight import AuthorityView, WitnessView
from security.witness import AddCheckpoint, WitnessRefusal, origin_hash, parse_size
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.unit.node.journal.builder import Link

NODE = fixed.REGENCY_NODE
KEY = fixed.key(f"{NODE} node")
ORIGIN = f"simpul/{NODE}/0"
LEASE_MS = 10_000


@dataclass
class Clock:
    now_ms: int = fixed.NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class LocalWitnesses:
    """The real rules and memory of witnesses, without the network between."""

    folder: Path
    clock: Clock
    desks: dict[str, Witness] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def open(self, name: str) -> Witness:
        store = WitnessStore(self.folder / f"{name}.db")
        known = {ORIGIN: [KEY.public]}
        self.desks[name] = Witness(name, fixed.key(name), store, known.get, self.clock)
        return self.desks[name]

    def latest(self, witness: WitnessView, origin: str) -> SignedCheckpoint | None:
        answer = self._desk(witness).checkpoint(origin_hash(origin))
        return parse_checkpoint(answer.body) if answer.status == 200 else None

    def add(self, witness: WitnessView, request: AddCheckpoint) -> Cosignature:
        answer = self._desk(witness).add_checkpoint(request.to_bytes())
        if answer.status != 200:
            known = parse_size(answer.body) if answer.status == 409 else None
            raise WitnessRefusal(answer.status, "no", step=0, known_size=known)
        lines = parse_signatures(answer.body.decode())
        return verified_cosignatures(Note(request.signed.note.text, lines), (witness.key,))[0]

    def _desk(self, witness: WitnessView) -> Witness:
        name = witness.key.name
        self.asked.append(name)
        if name in self.down:
            raise SimpulError(Code.WITNESS_UNREACHABLE, f"{name} is down")
        return self.desks[name]


@dataclass
class LocalAuthorities:
    """Authorities that stamp at once, or don't."""

    clock: Clock
    down: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def stamp(self, authority: AuthorityView, text: str) -> KeptTimestamp:
        self.asked.append(authority.name)
        if authority.name in self.down:
            raise SimpulError(Code.TIMESTAMP_UNREACHABLE, f"{authority.name} is down")
        return KeptTimestamp(authority.name, text.encode(), self.clock())


class Place:
    """One node's home, as far as checkpoints go. `start` is a start of its supervisor."""

    def __init__(
        self,
        home: Path,
        *,
        witnesses: Sequence[str] = ("w1",),
        quorum: int = 1,
        time: directory_pb2.TimePolicy | None = None,
        database: PostgresPlace | None = None,
    ) -> None:
        """`database` has the journal, where it isn't in the home."""
        home.mkdir(exist_ok=True)
        self.home = home
        self._database = database
        self.clock = Clock()
        self.witnesses = LocalWitnesses(home.parent, self.clock)
        self.authorities = LocalAuthorities(self.clock)
        self.refusals: list[SimpulError | None] = []
        self.view = view(
            dict.fromkeys(witnesses, "http://nowhere"), quorum if witnesses else 0, time
        )
        for name in witnesses:
            self.witnesses.open(name)
        self.link = Link(name=str(home))

    @property
    def journal(self) -> Path:
        return self.home / "journal.db"

    def grow(self, count: int) -> None:
        records = [self.link.sent() for _ in range(count)]
        store: JournalStore
        if self._database is None:
            store = SqliteJournalStore.open(self.journal)
        else:
            store = PostgresJournalStore.open(self._database)
        try:
            lease, head = store.take(0, "test", now_ms=self.clock(), lease_ms=LEASE_MS)
            done = store.append(lease, head, [Append(tuple(records))], now_ms=self.clock())
            assert done.refused == {}
            store.release(lease)
        finally:
            store.close()

    def start(self) -> Keeper:
        self.registry = CollectorRegistry()
        self.store = SqlCheckpointStore.open(self._database or self.journal)
        self.latest = LatestStore(self.home / "checkpoints")
        tools = Tools(
            node=NODE,
            key=lambda: KEY,
            store=self.store,
            latest=self.latest,
            directory=lambda: self.view,
            witnesses=self.witnesses,
            authorities=self.authorities,
            metrics=CheckpointMetrics(self.registry),
            now_ms=self.clock,
        )
        return Keeper(tools, 8.0, self.refusals.append)

    def alerts(self, code: Code) -> float:
        value = self.registry.get_sample_value(
            "simpul_checkpoint_alerts_total", {"code": code.value}
        )
        return value or 0.0


def view(
    witnesses: dict[str, str], quorum: int, time: directory_pb2.TimePolicy | None = None
) -> DirectoryView:
    """A directory whose policy names these witnesses, by name and URL; keys by name."""
    policy = directories.policy()
    for name, url in witnesses.items():
        policy.witnesses.add(vkey=witness_key(name, fixed.key(name)).vkey, url=url)
    policy.witness_quorum = quorum
    if time is not None:
        policy.time.CopyFrom(time)
    files = directories.targets(changed={"policy": policy.SerializeToString(deterministic=True)})
    return directories.build(files)
