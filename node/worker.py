"""One worker: gateway, exchange, links and journal slot, wired together in one event loop.

This is the wiring module of a worker: the only one here that asks the clock and the system's
randomness. It goes by what its supervisor pushes and decides nothing itself. When its journal can't
write, or its supervisor is gone for good, it ends: the supervisor starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import grpc
import structlog
from grpc import aio
from prometheus_client import CollectorRegistry

from node.agreements import wire as agreements
from node.calls import InboundCall, Services, new_call_id
from node.config import NodeConfig
from node.control import ControlClient
from node.directory.load import load_view
from node.exchange.allowance import Allowance
from node.exchange.asking import ask_question
from node.exchange.attempts import Attempts
from node.exchange.consents import Consents
from node.exchange.consuming import Consuming
from node.exchange.fields import FieldRules
from node.exchange.keeping import Keeping
from node.exchange.providing import Asker, BuiltIn, Providing
from node.exchange.recent import RecentCalls
from node.exchange.refused import RefusedCalls
from node.exchange.watch import CallMetrics
from node.gather.gather import Gather, GatherRooms
from node.gather.watch import GatherMetrics
from node.home import KeyName, NodeHome
from node.journal.journal import Journal
from node.keyring import open_ring
from node.link.accept import LinkServer, link_server
from node.link.dial import Dialler
from node.link.greet import Greeter
from node.link.local import LocalLinks
from node.link.model import LinkRooms
from node.link.notes import Notes
from node.link.refusals import Refusals
from node.link.sealer import Sealer
from node.link.unsettled import Settled, Unsettled
from node.link.watch import LinkMetrics
from node.model import Current, NodeIdentity, Snapshot
from node.policy.apps import AppBook, AppCredential
from node.policy.rules import AgreementBook
from node.reconciliation import wire
from node.recording import (
    calls_elsewhere,
    gathered_calls,
    left_links,
    open_journal,
    recalled_links,
    recent_calls,
)
from node.standard.table import own_services
from runtime import tracing
from runtime.clock import now_ms
from runtime.grpc_options import channel_options
from security import erasure
from security.certificate import to_pem
from security.directory import DirectoryView, NodeState
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from security.keys import PrivateKey
from security.limits import Limits
from simpul.node.v1 import admin_pb2, control_pb2

_log = structlog.get_logger(__name__)

# Calls that one worker answers at once; more are refused, because memory is bounded.
MAX_OPEN_CALLS: Final = 20_000
# How late a new seal key may begin to be used, and an agreement's last call may end.
FOLLOW_S: Final = 0.5
# How long a stop waits for the last notes; the slot's next holder settles what is left open.
NOTES_S: Final = 2.0
# For the word that this worker can't begin to be sent, before the process ends.
TELL_S: Final = 0.2
# The nodes' own services: each with the method that a peer may ask.
BUILT_IN: Final = (
    *((agreements.SERVICE, method) for method in agreements.METHODS),
    *((agreements.DELEGATIONS, method) for method in agreements.DELEGATION_METHODS),
    *((wire.SERVICE, method) for method in wire.METHODS),
    erasure.METHOD,
)


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Which worker this is, of which home."""

    home: NodeHome
    config: NodeConfig
    index: int


class Worker:
    """A running worker (`control.Orders`). `start` returns when it serves."""

    def __init__(
        self,
        place: WorkerPlace,
        journal: Journal,
        services: Services,
        end_gateway: Callable[[], Awaitable[None]],
        recent: RecentCalls,
    ) -> None:
        config = place.config
        self._place = place
        self._journal = journal
        self._tracing = tracing.start(
            config.tracing.endpoint,
            config.tracing.sample,
            {"service_name": "simpul-node", "simpul_node": config.node.id,
             "simpul_worker": place.index},
        )  # fmt: skip
        self._end_gateway = end_gateway
        self._identity = NodeIdentity(config.node_id, frozenset(config.member_ids))
        self._current = Current()
        # Done with the first snapshot, or failed with why it can't be served by.
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Snapshots go in force in the order in which they came, however long one takes to read.
        self._taking = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        registry = CollectorRegistry()
        metrics = CallMetrics(registry, self._tracing)
        self._ring = open_ring(place.home, config, os.environ)
        # By `_take_keys` only, in the event loop: within a round of the sealer it doesn't change.
        self._seal_keys: dict[MemberId, PrivateKey] = {}
        self._sealer = Sealer(self._seal_keys, journal)
        self._channel = aio.insecure_channel(
            f"unix:{place.home.control_socket}", options=channel_options()
        )
        self._control = ControlClient(self._channel, place.index, self, self._current)
        keeping = self._keeping = Keeping(
            Allowance(self._control.lease),
            FieldRules(config.limits.max_message_bytes),
            Consents(self._control.verify_consent),
        )
        self._elsewhere = calls_elsewhere(place.home, config)
        self._providing = Providing(
            self._current,
            services,
            {each: self._answered(*each) for each in BUILT_IN},
            metrics,
            keeping,
            recent=recent,
            elsewhere=self._elsewhere,
            max_open=MAX_OPEN_CALLS,
            now_ms=now_ms,
        )
        link_metrics = LinkMetrics(registry)
        self._notes = Notes(journal)
        unsettled = self._unsettled = Unsettled(
            lambda settled: _tell(settled, link_metrics, self._notes),
            recalled_links(place.home, config),
        )
        greeter = Greeter(
            self._identity,
            self._ring.node_key(None, config.node_id),
            self._current,
            _limits(config),
            place.index,
            config.node.workers,
            now_ms,
            self._refresh,
            unsettled,
        )
        self._greeter = greeter
        clock_s = asyncio.get_running_loop().time
        rooms = LinkRooms(
            self._current,
            self._sealer,
            journal,
            self._providing.on_open,
            link_metrics,
            Refusals(clock_s),
            unsettled,
            self._refresh,
            config.member_ids[0],
            now_ms,
            self._notes,
            self._tracing.now_ns,
        )
        self._links = LinkServer(greeter, rooms)
        self._server = link_server(self._links, greeter.own_limits)
        local = LocalLinks(greeter, rooms)
        self._dialler = Dialler(greeter, rooms, local, self._channel_credentials)
        attempts = Attempts(self._dialler, keeping, _fresh_call_id)
        refused = RefusedCalls(
            self._current, journal, self._notes, metrics, clock_s=clock_s, now_ms=now_ms
        )
        gathers = Gather(
            GatherRooms(
                self._identity, self._current, attempts, keeping, refused, metrics,
                GatherMetrics(registry), gathered_calls(place.home, config), _fresh_call_id,
                now_ms,
            )
        )  # fmt: skip
        self._consuming = Consuming(
            self._identity, self._current, attempts, metrics, keeping,
            own=own_services(self._current, self._dialler, gathers, self._control.ask_catalogue),
            gather=gathers.merged, refused=refused,
            new_call_id=_fresh_call_id, now_ms=now_ms,
        )  # fmt: skip

    @classmethod
    async def start(
        cls,
        place: WorkerPlace,
        services: Services,
        end_gateway: Callable[[], Awaitable[None]],
    ) -> Worker:
        """Open the journal, attach to the supervisor, open the link port.

        Args:
            place: Which worker this is.
            services: The way to the services behind the node.
            end_gateway: Has the gateway take no more calls, and waits until none is under way.

        Raises:
            SimpulError: The slot is taken (JOURNAL_LOCKED), or the port is (PORT_IN_USE).
        """
        journal = await open_journal(place.home, place.config, place.index)
        recent = await recent_calls(place.home, place.config)
        worker = cls(place, journal, services, end_gateway, recent)
        worker._unsettled.resume(await left_links(place.home, place.config))
        worker._keep(worker._control.run(), "control")
        worker._keep(worker._sealer.run(), "sealer")
        worker._keep(worker._watch_journal(), "journal watch")
        worker._keep(worker._follow_time(), "time watch")
        await worker._begun
        return worker

    async def serve(self, call: InboundCall) -> None:
        """Carry one call of an app."""
        await self._consuming.run(call)

    async def turn_away(self, call: InboundCall, error: SimpulError) -> None:
        """End one call of an app that the gateway can't take."""
        await self._consuming.turn_away(call, error)

    async def stop(self) -> None:
        """End every link in order, and give the journal's slot back."""
        await self._consuming.close()
        await asyncio.gather(self._dialler.close(), self._links.drain())
        await self._server.stop(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()
        if self._elsewhere is not None:
            await self._elsewhere.close()
        await self._notes.close(NOTES_S)
        await self._journal.close()

    # What the supervisor orders.

    async def take_snapshot(self, snapshot: control_pb2.Snapshot) -> None:
        """Go by a new snapshot; links to nodes that it no longer lists are cut."""
        async with self._taking:
            try:
                await self._take_snapshot(snapshot)
            except Exception as error:
                if not self._begun.done():
                    self._keep(self._give_up(error), "start")
                raise

    async def _take_snapshot(self, snapshot: control_pb2.Snapshot) -> None:
        known = self._current.latest
        view = await asyncio.to_thread(
            load_view,
            self._place.home.path / snapshot.directory_path,
            None if known is None else known.directory,
        )
        self._take_keys(view)
        self._current.replace(_snapshot(snapshot, view, self._place.config))
        self._recheck()
        self._links.sever(lambda node: _unwanted(view, node))
        self._dialler.sever(lambda node: _unwanted(view, node))
        if not self._begun.done():
            await self._open_link_port()
            self._begun.set_result(None)

    async def ask(self, question: control_pb2.Question) -> bytes:
        """Ask another node's own service, in the name of a member that is hosted here."""
        # Also where no call may begin: a restored node asks what it has missed.
        return await ask_question(
            self._dialler, self._current.directory, self._place.config.node_id, question,
            call_id=_fresh_call_id(), at_ms=now_ms(),
        )  # fmt: skip

    async def judge_consents(self, consents: control_pb2.Consents) -> None:
        """End the calls of consents that were withdrawn, or that nobody affirms anew."""
        self._keeping.consents.end(consents.withdrawn)
        if consents.confirm:
            await self._keeping.consents.confirm()

    def links(self) -> list[admin_pb2.LinkStatus]:
        """The links that are up, of either end."""
        return [
            admin_pb2.LinkStatus(
                peer=str(link.peer),
                dialled=link.dialled,
                link_id=link.context.link_id,
                parcels_sent=link.parcels[0],
                parcels_received=link.parcels[1],
            )
            for link in (*self._dialler.links, *self._links.links)
        ]

    async def drain(self, grace_s: float) -> None:
        """Take no more calls, of apps or of peers; end those under way, for at most `grace_s`."""
        self._providing.stop_beginning()
        self._links.announce_drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await asyncio.gather(self._end_gateway(), self._providing.drain())

    # Inside.

    async def _give_up(self, error: Exception) -> None:
        """A worker that can't begin ends, when its supervisor has heard why."""
        await asyncio.sleep(TELL_S)
        self._begun.set_exception(error)

    def _answered(self, service: str, method: str) -> BuiltIn:
        """A method of the nodes' own services: the supervisor answers it."""

        async def answer(data: bytes, asker: Asker) -> bytes:
            return await self._control.answer(service, method, data, asker)

        return answer

    async def _refresh(self, directory_hash: bytes) -> None:
        try:
            await self._control.refresh_directory(0, directory_hash)
        except SimpulError as error:
            # What is not here can't be gone by: the check that asked for it now refuses.
            _log.warning("directory not refreshed", code=error.code, why=error.message)

    def _take_keys(self, view: DirectoryView) -> None:
        """Greet and seal with the keys that the directory lists for this node now."""
        config, at_ms = self._place.config, now_ms()
        self._greeter.node_key = self._ring.node_key(view, config.node_id)
        for member in config.member_ids:
            self._seal_keys[member] = self._ring.sealing_key(member, view, config.node_id, at_ms)

    def _recheck(self) -> None:
        """End the calls whose agreement or consent is over, or whose purpose is retired."""
        known = self._current.latest
        if known is not None:
            self._keeping.under_way.recheck(known.agreements, known.directory, now_ms())
        self._keeping.consents.recheck(now_ms())

    async def _follow_time(self) -> None:
        """Keys begin and agreements end at their time, whether or not a snapshot comes then."""
        failing = False
        while True:
            await asyncio.sleep(FOLLOW_S)
            known = self._current.latest
            if known is None:
                continue
            self._recheck()
            if self._current.suspended:
                # Nobody is left who would hear of a withdrawal.
                await self._keeping.consents.confirm()
            try:
                self._take_keys(known.directory)
                failing = False
            except (SimpulError, OSError):
                # Sealing goes on with the keys in memory; the next look may find the new one.
                if not failing:
                    _log.exception("this node's keys can't be read")
                failing = True

    async def _open_link_port(self) -> None:
        first = self._server_configuration()
        credentials = grpc.dynamic_ssl_server_credentials(
            first, self._server_configuration, require_client_authentication=True
        )
        address = str(self._place.config.link.listen)
        try:
            self._server.add_secure_port(address, credentials)
        except RuntimeError:
            raise SimpulError(
                Code.PORT_IN_USE,
                f"{address} is in use; stop the other program or change link.listen",
            ) from None
        await self._server.start()

    def _server_configuration(self) -> grpc.ServerCertificateConfiguration:
        """Read anew at every handshake, so a renewed certificate needs no restart."""
        return grpc.ssl_server_certificate_configuration(
            [self._tls_pair()], root_certificates=self._authorities()
        )

    def _channel_credentials(self) -> grpc.ChannelCredentials:
        key, chain = self._tls_pair()
        return grpc.ssl_channel_credentials(self._authorities(), key, chain)

    def _tls_pair(self) -> tuple[bytes, bytes]:
        home = self._place.home
        return home.key_file(KeyName.TLS).read_bytes(), home.chain.read_bytes()

    def _authorities(self) -> bytes:
        return to_pem(*self._current.directory.policy.tls_authorities)

    async def _watch_journal(self) -> None:
        error = await self._journal.failed()
        _log.error("journal failed; this worker ends", code=error.code, why=error.message)
        os._exit(1)

    async def _fatal(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """What must never end, ended: a worker that lacks a part must not look as if it had it."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException:  # noqa: BLE001 - logged, and then the process ends
            _log.exception("a part of this worker stopped, and so the worker ends", part=what)
            os._exit(1)

    def _keep(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = asyncio.get_running_loop().create_task(self._fatal(work, what))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fresh_call_id() -> bytes:
    return new_call_id(now_ms(), os.urandom(10))


def _snapshot(pushed: control_pb2.Snapshot, view: DirectoryView, config: NodeConfig) -> Snapshot:
    apps = [
        AppCredential(
            app.name,
            tuple(SubsystemId.parse(subsystem) for subsystem in app.subsystems),
            app.token_sha256 or None,
            app.certificate_sha256 or None,
            app.expires_at_ms or None,
        )
        for app in pushed.apps
    ]
    return Snapshot(
        view,
        AgreementBook((each.agreement for each in pushed.agreements), pushed.undelegated),
        AppBook(apps, config.loopback_subsystem),
        {ServiceId.parse(route.service_id): route.target for route in pushed.routes},
        SimpulError(Code(pushed.refusal_code), pushed.refusal_message)
        if pushed.refusal_code
        else None,
        frozenset(MemberId.parse(member) for member in pushed.unsettled),
    )


def _tell(settled: Settled, metrics: LinkMetrics, notes: Notes) -> None:
    """What a greeting told of the calls on a link that broke."""
    counts = {what.value: len(calls) for what, calls in settled.calls.items()}
    for what, number in counts.items():
        metrics.settled(what, number)
    _log.info("broken link settled", peer=str(settled.peer), link=settled.link_id.hex(), **counts)
    note = settled.note()
    # Most links that end so had no call under way: nothing is written of them.
    if note.calls:
        notes.put(note)


def _unwanted(view: DirectoryView, node: NodeId) -> SimpulError | None:
    """Why a link to this node must end, if so."""
    try:
        found = view.node(node)
    except SimpulError as error:
        return error
    if found.state is NodeState.ACTIVE:
        return None
    return SimpulError(Code.NODE_REVOKED, f"{node} was revoked; its operators must enrol it again")


def _limits(config: NodeConfig) -> Limits:
    return Limits(
        max_message_bytes=config.limits.max_message_bytes,
        max_metadata_bytes=config.limits.max_metadata_bytes,
    )
