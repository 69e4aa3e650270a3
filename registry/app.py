"""Puts a registry together, and runs it until it is told to stop.

`init` makes a home; `serve` runs one in the foreground; `running` is a running registry for a
`with` block. Nothing here decides anything. Order of a start: lock, store, what is published, what
the store holds beyond that, servers, and last `run/endpoints.json`, which says that all is up.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import grpc
import structlog
from google.protobuf.message import Message

from registry import audit, config, home, passphrases
from registry.admin import AdminService, Facts
from registry.authorization import Listener, authorize
from registry.config import RegistryConfig
from registry.desk import Desk
from registry.directory import content, signers
from registry.directory.http import DirectoryServer
from registry.directory.publisher import Publisher, newest_root
from registry.directory.roles import TOP_LEVEL
from registry.directory.rotation import listed_keys
from registry.directory.schedule import Press, Schedule, Timing
from registry.directory.shared import SharedFolder
from registry.directory.watchers import Watchers
from registry.home import Endpoints, NewRegistry, RegistryHome, ServerIdentity
from registry.metrics import Metrics
from registry.operators import (
    Caller,
    Context,
    Identify,
    certificate_of,
    check_role,
    dangerous_kind,
    find_caller,
    identify_local,
    propose,
)
from registry.registrar import Registrar
from registry.requests import MAX_CHANGE_BYTES
from registry.service import RegistryService
from registry.sharing import Marks, Sharing
from registry.similarity.comparer import SimilarityComparer
from registry.store.database import Store
from registry.trust import Trust
from registry.witness import start_witness
from registry.writer import Writer
from runtime import clock, log, metrics, service_manager
from runtime.authorization import TableInterceptor
from runtime.files import PRIVATE_MODE, folder_lock, make_private_folder
from runtime.grpc_errors import ErrorInterceptor
from runtime.grpc_options import server_options
from runtime.ports import TcpAddress, UnixAddress, ensure_free
from security import certificate
from security.directory_records import parse_policy
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2_grpc
from simpul.v1 import registry_pb2_grpc

MAX_MESSAGE_BYTES: Final = MAX_CHANGE_BYTES + 64 * 1024
STOP_GRACE_S: Final = 2.0

_log = structlog.stdlib.get_logger(__name__)


def init(path: Path, new: NewRegistry | None = None) -> RegistryHome:
    """Makes a registry's home at `path`; it does not run yet.

    Raises:
        SimpulError: as `home.create` says.
    """
    return home.create(path, NewRegistry() if new is None else new, clock.now_ms())


async def serve(path: Path, ready: Callable[[Endpoints], None] | None = None) -> None:
    """Runs the registry at `path` until SIGTERM or SIGINT, and stops it in order.

    Args:
        path: Its home.
        ready: Called once, when all is up.

    Raises:
        SimpulError: HOME_MISSING, HOME_LOCKED, HOME_FOREIGN, CONFIG_INVALID, PORT_IN_USE,
            DATABASE_CORRUPT, DIRECTORY_UNTRUSTED and the like: it did not start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with running(path, configure_log=True) as endpoints:
            if ready is not None:
                ready(endpoints)
            service_manager.tell_ready()
            await stop.wait()
            _log.info("stopping")
            service_manager.tell_stopping()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def running(path: Path, *, configure_log: bool = False) -> AsyncIterator[Endpoints]:
    """A registry that runs until the block ends. Raises as `serve` does."""
    place = RegistryHome.open(path)
    settings = config.load(place.settings_file, os.environ)
    if configure_log:
        log.configure("registry", level=settings.log.level, form=settings.log.form)
    async with AsyncExitStack() as stack:
        stack.enter_context(folder_lock(place.path))
        make_private_folder(place.run)
        place.endpoints_file.unlink(missing_ok=True)
        core = await _start_core(stack, place, settings)
        endpoints = await _start_servers(stack, core)
        place.write_endpoints(endpoints)
        stack.callback(partial(place.endpoints_file.unlink, missing_ok=True))
        _log.info("registry runs", federation=settings.federation, grpc=endpoints.grpc)
        yield endpoints


@dataclass(frozen=True, slots=True)
class _Core:
    """What runs before any server does."""

    place: RegistryHome
    settings: RegistryConfig
    store: Store
    registrar: Registrar
    trust: Trust
    desk: Desk
    watchers: Watchers
    metrics: Metrics
    metrics_address: TcpAddress


async def _start_core(
    stack: AsyncExitStack, place: RegistryHome, settings: RegistryConfig
) -> _Core:
    collectors = metrics.new_registry()
    shown = stack.enter_context(metrics.metrics_server(collectors, settings.metrics.listen))
    measures = Metrics(collectors)
    store = Store.open(place.database_url(settings))
    stack.callback(store.close)
    writer = Writer()
    stack.callback(writer.close)
    store.check()
    folder = place.directory
    if store.is_shared:
        folder = SharedFolder(folder, store)
        folder.join()
    root = newest_root(folder)
    top = {role: root.roles[role].keyids for role in TOP_LEVEL}
    signers.settle(place.keys, {**top, **listed_keys(folder)})
    publisher = Publisher.open(folder, signers.load(place.keys))
    policy = parse_policy(publisher.policy_file)
    if policy.federation != settings.federation:
        raise SimpulError(
            Code.HOME_FOREIGN,
            f"{place.path} publishes the directory of {policy.federation}, and registry.toml says "
            f"{settings.federation}: mend federation in registry.toml",
        )
    watchers = Watchers(settings.grpc.max_watchers, measures)
    held = settings.approvals.decided_by_operators
    tokens = config.authority_store(settings, os.environ)
    passphrase = partial(passphrases.find, settings.authority.passphrase_file, os.environ)
    comparer = SimilarityComparer(settings.contracts.close_at)
    authority = place.authority(passphrase, tokens)
    registrar = Registrar(store, policy, authority, held, comparer)
    trust = Trust(publisher, registrar, place.keys, place.accepted_file)
    trust.resume(clock.now_ms())
    timing = Timing(settings.directory.coalesce_s, settings.directory.heartbeat_s)
    sharing = marks = None
    if isinstance(folder, SharedFolder):
        sharing = Sharing(store, folder, publisher, registrar, clock.now_ms)
        marks = Marks(store, clock.now_ms)
    press = Press(
        publisher,
        folder,
        lambda touched: content.read_committed(store, registrar.policy, touched),
        clock.now_ms,
        trust.settle,
        sharing,
    )
    schedule = Schedule(press, writer, watchers, measures, timing)
    # What was stored and not published before the process ended.
    await schedule.start(await writer.run(lambda: content.everything(store)))
    publishing = asyncio.create_task(_publish(schedule))
    stack.push_async_callback(_cancel, publishing)
    desk = Desk(writer, schedule, marks=marks)
    stack.push_async_callback(desk.close, STOP_GRACE_S)
    return _Core(place, settings, store, registrar, trust, desk, watchers, measures, shown.address)


async def _start_servers(stack: AsyncExitStack, core: _Core) -> Endpoints:
    settings, place = core.settings, core.place
    files = DirectoryServer(
        place.directory.path, settings.directory.listen, setting="directory.listen"
    )
    stack.callback(files.close)
    start_witness(
        stack,
        place,
        settings.witness,
        core.store,
        core.metrics,
        federation=settings.federation,
        now_ms=clock.now_ms,
    )
    identity = place.server_identity()
    credentials = grpc.ssl_server_credentials(
        [(identity.key_pem, certificate.to_pem(identity.certificate_der))]
    )
    ensure_free(settings.grpc.listen, "grpc.listen")
    nodes = _server(Listener.PUBLIC)
    port = nodes.add_secure_port(str(settings.grpc.listen), credentials)
    endpoints = Endpoints(
        grpc=settings.grpc.public or str(TcpAddress(settings.grpc.listen.host, port)),
        directory=settings.directory.public_url or f"http://{files.address}",
        metrics=str(core.metrics_address),
        admin=str(place.admin_address),
    )
    service = RegistryService(
        core.registrar, core.desk, core.watchers, core.metrics, endpoints.directory, clock.now_ms
    )
    registry_pb2_grpc.add_RegistryServicer_to_server(service, nodes)
    facts = Facts(
        endpoints=endpoints,
        root_file=str(place.root_file),
        published=place.directory,
        certificate_sha256=identity.certificate_sha256,
        token_life_s=settings.tokens.life_s,
        certificate_pem=certificate.to_pem(identity.certificate_der).decode(),
    )
    await _start_admin(stack, core, facts, identity)
    await nodes.start()
    stack.push_async_callback(_stop_nodes, nodes, core.watchers)
    return endpoints


async def _start_admin(
    stack: AsyncExitStack, core: _Core, facts: Facts, identity: ServerIdentity
) -> None:
    listen = core.settings.admin.listen
    remote = None
    if listen is not None:
        ensure_free(listen, "admin.listen")
        remote = _admin_server(core, _identify_by_certificate(core))
        # Whoever has a certificate of our authority reaches the table, and no further without a row
        # for that very certificate.
        credentials = grpc.ssl_server_credentials(
            [(identity.key_pem, certificate.to_pem(identity.certificate_der))],
            root_certificates=certificate.to_pem(core.registrar.authority.certificate_der),
            require_client_auth=True,
        )
        port = remote.add_secure_port(str(listen), credentials)
        public = core.settings.admin.public or str(TcpAddress(listen.host, port))
        facts = replace(facts, admin_public=public)
    local = _admin_server(core, identify_local)
    _listen_privately(local, core.place.admin_address)
    admin = AdminService(core.registrar, core.desk, core.trust, facts, clock.now_ms)
    for server in filter(None, (local, remote)):
        admin_pb2_grpc.add_RegistryAdminServicer_to_server(admin, server)
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE_S)


def _admin_server(core: _Core, identify: Identify) -> grpc.aio.Server:
    store = core.registrar.store
    two_persons = core.settings.approvals.two_persons

    async def record(entry: audit.Entry) -> None:
        await core.desk.read(lambda: audit.append(store, entry))

    async def admit(method: str, request: Message, subject: str, caller: Caller) -> None:
        check_role(method, caller)
        if dangerous_kind(method, request) in two_persons:
            now_ms = clock.now_ms()
            await core.desk.read(lambda: propose(store, method, request, subject, caller, now_ms))

    return _server(Listener.ADMIN, audit.AuditInterceptor(record, identify, admit, clock.now_ms))


def _identify_by_certificate(core: _Core) -> Identify:
    async def identify(context: Context) -> Caller:
        digest = certificate_of(context)
        return await core.desk.read(lambda: find_caller(core.registrar.store, digest))

    return identify


def _listen_privately(server: grpc.aio.Server, address: UnixAddress) -> None:
    socket_file = Path(address.path)
    # The home's lock is held: what lies here was left by a process that is gone.
    socket_file.unlink(missing_ok=True)
    server.add_insecure_port(str(address))
    # Until here only the 0700 of its folder keeps others out, and it does.
    socket_file.chmod(PRIVATE_MODE)


def _server(listener: Listener, *more: grpc.aio.ServerInterceptor) -> grpc.aio.Server:
    table = TableInterceptor(partial(authorize, listener=listener))
    return grpc.aio.server(
        interceptors=[ErrorInterceptor(), *more, table],
        options=server_options(max_message_bytes=MAX_MESSAGE_BYTES),
    )


async def _stop_nodes(server: grpc.aio.Server, watchers: Watchers) -> None:
    # Watches never end by themselves, and would take the whole grace.
    watchers.end()
    await server.stop(STOP_GRACE_S)


async def _publish(schedule: Schedule) -> None:
    """Publishing must never end: a registry that publishes nothing must not look as if it did."""
    try:
        await schedule.run()
    except asyncio.CancelledError:
        raise
    except BaseException:  # noqa: BLE001 - logged, and then the process ends
        _log.exception("publishing stopped, and so the registry ends")
        os._exit(1)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
