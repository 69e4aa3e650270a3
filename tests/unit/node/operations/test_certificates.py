"""A certificate is renewed by itself at two thirds of its life, by a real registry."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.config import load_config
from node.directory.fetch import HttpFetcher
from node.directory.replica import Replica
from node.directory.watch import DirectoryWatch, Sources
from node.enrol import EnrolOptions, enrol
from node.home import KeyName, NodeHome
from node.keyring import KeyRing
from node.operations.certificates import keep_renewed
from node.operations.desk import Desk
from node.reconciliation.sets import JournalSets
from node.registry_client import NodeChanges, RegistryClient
from node.store.engine import Store
from node.workers import Workers
from registry import app
from registry.authority import new_serial
from registry.home import NewRegistry, RegistryHome
from runtime.clock import now_ms
from security import certificate
from security.certificate import expires_at_ms, from_pem, make_request, to_pem
from simpul.registry.v1 import admin_pb2
from tests.unit.registry.running import run

DAY_MS = 24 * 60 * 60 * 1000


async def nobody(*_: object) -> None:
    """Countersigns and refreshes nothing."""
    raise AssertionError


@asynccontextmanager
async def joined(tmp_path: Path) -> AsyncIterator[tuple[RegistryHome, Desk]]:
    """A registry, and the desk of a node that has joined."""
    place = app.init(tmp_path / "r", NewRegistry())
    async with run(place.path) as registry:
        made = await registry.admin.CreateEnrolment(
            admin_pb2.CreateEnrolmentRequest(
                member="ID/DAERAH/53.15", node_name="labuan-bajo-1", legal_name="Manggarai Barat"
            )
        )
        options = EnrolOptions(
            home=tmp_path / "n",
            registry=registry.endpoints.grpc,
            root=place.root_file.read_bytes(),
            token=made.token,
            slots=1,
            link_listen="127.0.0.1:7101",
        )
        home = (await enrol(options, now_ms)).home
        config = load_config(home, os.environ)
        store = Store.open(home.state)
        client = RegistryClient(
            config.registry.address, home.read_registry_certificate(), config.federation
        )
        replica = Replica(home.directory, config.federation, home.read_root(), store)
        replica.open_local(now_ms())
        sources = Sources([lambda: HttpFetcher(config.registry.directory_url)], client.watch)
        watch = DirectoryWatch(replica, sources, nobody, now_ms)
        ring = KeyRing(home, config.member_ids)
        changes = NodeChanges(
            client, config.node_id, lambda: ring.node_key(replica.view, config.node_id), store
        )
        # Never called.
        unused: Any = nobody
        workers = Workers(
            answer=unused, refresh=unused, lease=unused, catalogue=unused, verify=unused
        )
        sets = JournalSets(home.journal, lambda: 0.0)
        try:
            yield place, Desk(home, config, store, watch, changes, workers, now_ms, ring, sets)
        finally:
            await client.close()
            store.close()


def give_certificate(place: RegistryHome, desk: Desk, begun_ms: int, days: int) -> bytes:
    """Puts a certificate of another age into the node's home, and returns it."""
    authority = place.authority()
    request = make_request(desk.home.read_pem(KeyName.TLS), desk.config.node_id)
    made = certificate.issue(
        authority.key,
        authority.certificate_der,
        request,
        desk.config.node_id,
        begun_ms,
        days,
        new_serial(),
    )
    desk.home.chain.write_bytes(to_pem(made, authority.certificate_der))
    return made


def shown(home: NodeHome) -> bytes:
    return from_pem(home.read_chain())[0]


@pytest.mark.parametrize(
    ("age_days", "days", "renewed"), [(25, 30, True), (19, 30, False), (1.4, 2, True)]
)
async def test_it_is_renewed_at_two_thirds_of_its_life(
    tmp_path: Path, age_days: float, days: int, renewed: bool
) -> None:
    async with joined(tmp_path) as (place, desk):
        key = desk.home.read_pem(KeyName.TLS)
        begun_ms = now_ms() - int(age_days * DAY_MS)
        old = give_certificate(place, desk, begun_ms, days)
        task = asyncio.create_task(keep_renewed(desk, lambda *_: None))
        try:
            async with asyncio.timeout(5 if renewed else 0.5):
                while shown(desk.home) == old:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            assert not renewed
        finally:
            task.cancel()
            await asyncio.wait({task})
        assert (shown(desk.home) != old) == renewed
        if renewed:
            assert expires_at_ms(shown(desk.home)) > now_ms() + 29 * DAY_MS
        assert desk.home.read_pem(KeyName.TLS) == key
