"""The supervisor: the process that an operator starts, and that starts the workers.

It owns the admin socket, the one watch of the directory, the state database and what all workers
are to go by; it carries no calls. This is a wiring module: it asks the clock. Order of things:
home, directory, ports, sockets, workers, ready; and back again when it is told to stop.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from node.admin import NodeAdmin
from node.agreements import wire as agreements
from node.authorization import Socket
from node.catalogue.opening import open_catalogue
from node.checkpoints.opening import open_keeper
from node.checkpoints.watch import CheckpointMetrics
from node.config import NodeConfig, journal_place, load_config
from node.consent.model import Question
from node.directory.fetch import HttpFetcher
from node.directory.foreign import ForeignKeys
from node.directory.model import Generation
from node.directory.replica import Replica
from node.directory.serving import serve_directory
from node.directory.watch import DirectoryWatch, Sources, WatchTiming
from node.endpoints import endpoints_file, write_endpoints
from node.evidence.tidy import keep_tidy
from node.exchange.providing import Asker
from node.home import NodeHome
from node.journal.archive.erasing import erase_everywhere, find_dropped
from node.journal.archive.places import ArchivePlace, parse_archive_place
from node.journal.kept.model import Erased, ErasureOrder, Telling
from node.journal.kept.sql_store import SqlKeptStore
from node.journal.kept.store import KeptStore
from node.journal.place import Place
from node.journal.upkeep import Upkeep, consumed_ms, upkeep_settings
from node.journal.watch import JournalMetrics
from node.keyring import open_ring
from node.operations import successions
from node.operations.access import Access
from node.operations.allowances import Allowances
from node.operations.certificates import keep_renewed
from node.operations.consents import Consents
from node.operations.desk import Desk
from node.operations.erasure import Erasures
from node.operator_socket import operators_socket
from node.operators import OperatorInterceptor
from node.policy.allowance import Side
from node.processes import WorkerProcesses
from node.reconciliation import wire
from node.reconciliation.answering import Answering
from node.reconciliation.sets import JournalSets
from node.registry_client import NodeChanges, RegistryClient, addresses
from node.secret_ring import SecretRing
from node.sockets import listen, make_server
from node.store.engine import Store
from node.watch import NodeMetrics
from node.witness import start_witness
from node.workers import Workers
from runtime import log, service_manager
from runtime.clock import now_ms
from runtime.files import memory_folder
from runtime.memory import share_one_arena
from runtime.metrics import metrics_server
from runtime.ports import Address, TcpAddress, ensure_free
from security import erasure
from security.errors import Code, SimpulError
from security.identifiers import SubsystemId
from security.secret_key import SECRET_BYTES, SecretKey
from simpul.node.v1 import admin_pb2, admin_pb2_grpc, control_pb2_grpc

_log = structlog.get_logger(__name__)

# How long calls under way get to end when the node is told to stop.
GRACE_S: Final = 10.0
READY_TIMEOUT_S: Final = 30.0


async def serve(path: Path) -> None:
    """Run a node until SIGTERM or SIGINT.

    Raises:
        SimpulError: HOME_MISSING, HOME_LOCKED, CONFIG_INVALID, PORT_IN_USE, DIRECTORY_ABSENT (no
            copy, and the registry can't be reached), DIRECTORY_DEAD, DIRECTORY_UNTRUSTED.
    """
    home = NodeHome.open(path)
    config = load_config(home, os.environ)
    log.configure("node", level=config.log.level, form=config.log.form)
    share_one_arena()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with home.lock():
        async with _running(home, config) as supervisor:
            await supervisor.until(stop)


@asynccontextmanager
async def _running(home: NodeHome, config: NodeConfig) -> AsyncIterator[Supervisor]:
    """Everything that a node has, up; and down again at the end, in the opposite order."""
    _ensure_ports(config)
    async with AsyncExitStack() as stack:
        store = await asyncio.to_thread(Store.open, home.state)
        stack.callback(store.close)
        client = RegistryClient(
            config.registry.address, home.registry_certificate.read_bytes(), config.federation
        )
        stack.push_async_callback(client.close)
        kept = await asyncio.to_thread(SqlKeptStore.open, journal_place(config, home))
        supervisor = Supervisor(home, config, store, client, kept)
        stack.push_async_callback(supervisor.consents.close)
        await supervisor.open_directory()
        await stack.enter_async_context(supervisor.sockets())
        registry, folder = _metrics(home, supervisor.metrics)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = stack.enter_context(metrics_server(registry, config.metrics.listen))
        supervisor.metrics_address = server.address
        # Before the workers, so that the last checkpoint covers what they recorded last.
        await supervisor.keep_checkpoints(stack)
        processes = WorkerProcesses(home, count=config.node.workers, metrics_folder=folder)
        await processes.start()
        stack.push_async_callback(processes.stop, GRACE_S)
        supervisor.keep_small(stack)
        if config.directory.listen is not None:
            served = serve_directory(home.directory, config.directory.listen)
            stack.push_async_callback(asyncio.to_thread, served.close)
        supervisor.processes = processes
        await supervisor.ready()
        write_endpoints(home, config, server.address)
        stack.callback(endpoints_file(home).unlink, missing_ok=True)
        try:
            yield supervisor
        finally:
            await supervisor.drain()


class Supervisor:
    """What the parts of a supervisor say to each other."""

    def __init__(
        self,
        home: NodeHome,
        config: NodeConfig,
        store: Store,
        client: RegistryClient,
        kept: KeptStore,
    ) -> None:
        self._home = home
        self._store = store
        self._config = config
        self.metrics = NodeMetrics()
        self.metrics_address: TcpAddress | None = None
        self.processes: WorkerProcesses | None = None
        self._catalogue = open_catalogue(home, config, lambda: self._desk.directory, now_ms)
        self._workers = Workers(
            answer=self._answer, refresh=self._refresh, lease=self._lease,
            catalogue=self._catalogue.answer, verify=self._verify,
        )  # fmt: skip
        self.consents = Consents(home, config, store, self._workers, now_ms)
        sets = JournalSets(journal_place(config, home), asyncio.get_running_loop().time)
        self._reconciling = Answering(config.node_id, sets, now_ms)
        self._replica = Replica(home.directory, config.federation, home.read_root(), store)
        self._watch = DirectoryWatch(
            self._replica,
            Sources(
                [partial(HttpFetcher, url) for url in addresses(config.registry.directory_url)],
                client.watch,
            ),
            self._on_generation,
            now_ms,
            WatchTiming(refresh_every_s=config.registry.refresh_s),
        )
        ring = open_ring(home, config, os.environ)
        SecretRing(home).ensure(lambda: SecretKey(os.urandom(SECRET_BYTES)))
        changes = NodeChanges(
            client,
            config.node_id,
            lambda: ring.node_key(self._replica.view, config.node_id),
            store,
        )
        self._desk = Desk(
            home, config, store, self._watch, changes, self._workers, now_ms, ring, sets
        )
        self._erasures = Erasures(
            kept,
            partial(_erase_call, kept, journal_place(config, home)),
            partial(find_dropped, journal_place(config, home), _open_archives),
            SecretRing(home),
            self._tell_erasure,
            now_ms,
            os.urandom,
            on_notice=config.journal.erase_on_notice,
        )
        self._foreign = ForeignKeys(config.member_ids, lambda: ring.every_id(config.member_ids))
        self._allowances = Allowances(self._desk)
        self._access = Access(self._desk)
        self._pushing: set[asyncio.Task[None]] = set()

    async def open_directory(self) -> None:
        """Verify the copy on the disk; without one, fetch it, which needs the registry."""
        generation = await self._watch.open()
        self._desk.directory.check_age(now_ms())
        self._access.begin()
        await self._on_generation(generation)

    async def keep_checkpoints(self, stack: AsyncExitStack) -> None:
        """Sign the journal's checkpoints until the stack ends, and be a witness where told to.

        Raises:
            SimpulError: The journal can't be opened, or the witness's port is taken.
        """
        loop = asyncio.get_running_loop()
        config, home = self._config, self._home

        def refuse(error: SimpulError | None) -> None:
            loop.call_soon_threadsafe(self._refuse, error)

        keeper = await asyncio.to_thread(
            open_keeper,
            home,
            config,
            lambda: self._desk.directory,
            CheckpointMetrics(self.metrics.registry),
            now_ms,
            refuse,
        )
        keeper.start()
        stack.push_async_callback(asyncio.to_thread, keeper.stop)
        if config.witness.listen is not None:
            start_witness(
                stack, home, config, config.witness.listen, lambda: self._desk.directory, now_ms
            )

    def keep_small(self, stack: AsyncExitStack) -> None:
        """Archive and drop what is old enough, until the stack ends.

        Raises:
            SimpulError: CONFIG_INVALID.
        """
        settings = upkeep_settings(self._home, self._config)
        metrics = JournalMetrics(self.metrics.registry)
        upkeep = Upkeep(settings, metrics, now_ms, lambda: consumed_ms(self._store))
        upkeep.start()
        stack.push_async_callback(asyncio.to_thread, upkeep.stop)

    @asynccontextmanager
    async def sockets(self) -> AsyncIterator[None]:
        """The admin and control sockets."""
        control = make_server(Socket.CONTROL)
        control_pb2_grpc.add_ControlServicer_to_server(self._workers, control)
        admin = make_server(Socket.ADMIN, OperatorInterceptor(self._desk))
        admin_pb2_grpc.add_NodeAdminServicer_to_server(
            NodeAdmin(
                self._desk,
                self._access,
                self._erasures,
                self._catalogue,
                self.consents,
                self._status,
            ),
            admin,
        )
        await listen(control, self._home.control_socket)
        await listen(admin, self._home.admin_socket)
        try:
            async with operators_socket(self._config.operators.path, self._home.admin_socket):
                yield
        finally:
            await admin.stop(1.0)
            await control.stop(1.0)
            await self._catalogue.close()

    async def ready(self) -> None:
        """Wait until every worker serves and the gateway answers."""
        tasks = {asyncio.create_task(self._workers.wait_ready(self._config.node.workers))}
        if self.processes is not None:
            tasks.add(asyncio.create_task(_fail_with(self.processes)))
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            if not done:
                raise SimpulError(
                    Code.INTERNAL,
                    f"the workers are not ready after {READY_TIMEOUT_S:g} s; see the log",
                )
        finally:
            for task in tasks:
                task.cancel()
        await _answering(self._config.gateway.listen)
        _log.info("node ready", node=self._config.node.id, gateway=str(self._config.gateway.listen))
        service_manager.tell_ready()

    async def until(self, stop: asyncio.Event) -> None:
        """Watch the directory and keep the certificate fresh until told to stop.

        Raises:
            SimpulError: The workers can't be kept running.
        """
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(self._watch.run()),
            asyncio.create_task(keep_renewed(self._desk, self.metrics.certificate)),
            asyncio.create_task(self._access.run()),
            asyncio.create_task(
                keep_tidy(
                    self._replica, self._home, journal_place(self._config, self._home), now_ms
                )
            ),
            asyncio.create_task(self._erasures.run()),
            asyncio.create_task(self.consents.run()),
            asyncio.create_task(stop.wait()),
        ]
        if self.processes is not None:
            tasks.append(asyncio.create_task(_fail_with(self.processes)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self) -> None:
        """Let the calls under way end."""
        _log.info("node stopping")
        service_manager.tell_stopping()
        await self._workers.drain(GRACE_S)

    async def _on_generation(self, generation: Generation) -> None:
        self.metrics.directory(generation.version, generation.issued_at_ms)
        _log.info("directory", version=generation.version, hash=generation.hash.hex()[:16])
        self._foreign.look(self._desk.directory)
        self.metrics.foreign_keys(len(self._foreign.listed))
        await successions.follow(self._desk)
        await self._push()
        await self._access.look_at_groups()

    def _refuse(self, error: SimpulError | None) -> None:
        """Have the workers begin no more calls; or, with None, begin them again."""
        self._desk.refusal = error
        task = asyncio.get_running_loop().create_task(self._push())
        self._pushing.add(task)
        task.add_done_callback(self._pushing.discard)

    async def _push(self) -> None:
        try:
            await self._desk.push()
        except SimpulError as error:
            # A worker that hangs goes on with what it has; the next one is pushed to it all the
            # same.
            _log.error("snapshot not taken", code=error.code, why=error.message)

    async def _answer(self, service: str, method: str, data: bytes, asker: Asker) -> bytes:
        """What a peer asks of this node's own services."""
        if service in {agreements.SERVICE, agreements.DELEGATIONS}:
            return await self._access.answer(service, method, data, asker.member)
        if service == wire.SERVICE:
            return await self._reconciling.answer(asker.node, method, data)
        if (service, method) == erasure.METHOD:
            return await self._erasures.answer(data, asker.member)
        raise SimpulError(Code.SERVICE_UNKNOWN, f"nodes don't offer {service[:80]!a}")

    async def _tell_erasure(self, telling: Telling, notice: bytes) -> bytes:
        """Tell the node that had the call, or another of its member's where that one is no more."""
        receiver = SubsystemId.parse(telling.receiver)
        nodes = self._desk.directory.nodes_of(receiver.member, now_ms())
        if not nodes:
            raise SimpulError(
                Code.NODE_UNKNOWN,
                f"{receiver.member} has no active node; ask its operators to run one",
            )
        node = next((each for each in nodes if str(each.id) == telling.peer), nodes[0])
        return await self._desk.ask_service(
            node.id, erasure.METHOD, notice, sender=SubsystemId.parse(telling.sender),
            receiver=receiver,
        )  # fmt: skip

    async def _lease(self, agreement: bytes, side: Side, wanted: int) -> int:
        return await self._allowances.lease(agreement, side, wanted)

    async def _verify(self, question: Question) -> int:
        return await self.consents.verify(question)

    async def _refresh(self, version: int, digest: bytes) -> tuple[int, bytes]:
        del version
        await self._desk.refresh.until(digest)
        current = self._replica.current
        if current is None:
            raise SimpulError(Code.DIRECTORY_ABSENT, "this node has no directory yet")
        return current.version, current.hash

    async def _status(self) -> admin_pb2.StatusResponse:
        config, current = self._config, self._replica.current
        status = admin_pb2.StatusResponse(
            node=config.node.id,
            members=config.node.members,
            gateway=str(config.gateway.listen),
            link=str(config.link.listen),
            metrics=str(self.metrics_address or config.metrics.listen),
            workers_ready=self._workers.ready,
            links=await self._workers.links(),
        )
        if current is not None:
            status.directory_version = current.version
            status.directory_hash = current.hash
            status.directory_issued_at_ms = current.issued_at_ms
        for key in self._foreign.listed:
            status.foreign_keys.add(
                member=key.member, kind=key.kind, key_id=key.key_id, node=key.node
            )
        return status


async def _fail_with(processes: WorkerProcesses) -> None:
    """Raise what keeps the workers from running, when something does."""
    raise await processes.failed()


def _ensure_ports(config: NodeConfig) -> None:
    listens: tuple[tuple[Address, str], ...] = (
        (config.gateway.listen, "gateway.listen"),
        (config.link.listen, "link.listen"),
    )
    for address, setting in listens:
        ensure_free(address, setting)


def _metrics(home: NodeHome, own: NodeMetrics) -> tuple[CollectorRegistry, Path]:
    """One exposition for the supervisor and its workers, which write theirs to files."""
    folder = memory_folder(home.path, home.run / "metrics")
    for old in folder.glob("*.db"):
        old.unlink()
    MultiProcessCollector(own.registry, path=str(folder))  # type: ignore[no-untyped-call]
    return own.registry, folder


async def _answering(address: Address) -> None:
    """Wait until something listens there: a worker is ready a moment before its port is."""
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not await asyncio.to_thread(_accepts, address):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def _accepts(address: Address) -> bool:
    try:
        if isinstance(address, TcpAddress):
            socket.create_connection((address.host, address.port), timeout=1.0).close()
        else:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(address.path)
    except OSError:
        return False
    return True


def _erase_call(kept: KeptStore, place: Place, order: ErasureOrder, at_ms: int) -> Erased:
    """Erase a call, also where its parcels were dropped into archives."""
    return erase_everywhere(kept, place, _open_archives, order, now_ms=at_ms)


def _open_archives(where: str) -> ArchivePlace:
    return parse_archive_place(where, os.environ)
