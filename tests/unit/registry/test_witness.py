"""The registry as a witness: which logs it knows, and whose key it believes."""

import asyncio
from pathlib import Path

import pytest
import urllib3

from registry.config import load
from registry.home import RegistryHome
from registry.registrar import Registrar
from registry.store import nodes
from registry.store.database import Store
from registry.witness import log_keys
from security.checkpoint import Checkpoint, sign_checkpoint
from security.cosignature import verify_cosignature, witness_key
from security.directory_records import parse_policy
from security.keys import PrivateKey
from security.merkle import leaf_hash
from security.note import parse_signatures
from security.witness import AddCheckpoint
from tests.unit.registry.conftest import LABUAN, Actor
from tests.unit.registry.running import run

ORIGIN = "labuan-bajo-1.id.simpul.internal/journal/0"


def request(key: PrivateKey, origin: str = ORIGIN, leaf: bytes = b"") -> bytes:
    signed = sign_checkpoint(Checkpoint(origin, 1, leaf_hash(leaf)), key)
    return AddCheckpoint(0, (), signed).to_bytes()


def test_a_listed_slot_has_the_key_of_its_node(
    url: str, registrar: Registrar, enrolled: Actor
) -> None:
    del registrar
    store = Store.open(url)
    try:
        assert log_keys(store, "ID", ORIGIN) == (enrolled.node_key.public,)
        with store.transaction() as session:
            slots = nodes.get(session, LABUAN).slots
            nodes.revoke(session, LABUAN)
        assert log_keys(store, "ID", ORIGIN) == ()
        for unknown in (
            "",
            ORIGIN.replace("labuan", "Labuan"),
            ORIGIN.replace("labuan-bajo-1", "wakatobi-1"),
            ORIGIN.replace(".id.", ".my."),
            ORIGIN.replace("/0", "/00"),
            ORIGIN.replace("/0", f"/{slots}"),
            f"{ORIGIN}/",
            f"https://{ORIGIN}",
        ):
            assert log_keys(store, "ID", unknown) is None
    finally:
        store.close()


def test_a_new_registry_is_the_one_witness_of_its_policy(first_home: Path) -> None:
    home = RegistryHome.open(first_home)
    policy = next((home.directory.path / "targets").glob("*.policy"))
    oversight = parse_policy(policy.read_bytes()).oversight
    (witness,) = oversight.witnesses
    assert oversight.quorum == 1
    assert witness.key == witness_key(home.witness_name("ID"), home.witness_key())
    assert witness.url == f"http://{load(home.settings_file, {}).witness.listen}"
    assert oversight.time is None


async def test_it_cosigns_what_a_node_signs(own_home: Path) -> None:
    home = RegistryHome.open(own_home)
    url = f"http://{load(home.settings_file, {}).witness.listen}/add-checkpoint"

    def ask(body: bytes) -> urllib3.BaseHTTPResponse:
        return urllib3.request("POST", url, body=body, retries=False)

    async with run(own_home) as registry:
        actor = await registry.joined()
        answer = await asyncio.to_thread(ask, request(actor.node_key))
        assert answer.status == 200
        (line,) = parse_signatures(answer.data.decode())
        text = Checkpoint(ORIGIN, 1, leaf_hash(b"")).text
        verify_cosignature(text, line, witness_key(home.witness_name("ID"), home.witness_key()))
        answer = await asyncio.to_thread(ask, request(actor.node_key, leaf=b"fork"))
        assert (answer.status, answer.data) == (409, b"1\n")
        answer = await asyncio.to_thread(ask, request(actor.node_key, origin="another"))
        assert answer.status == 404


async def test_a_registry_without_the_key_is_no_witness(own_home: Path) -> None:
    home = RegistryHome.open(own_home)
    home.witness_key_file.unlink()
    async with run(own_home):
        pass
    with pytest.raises(FileNotFoundError):
        home.witness_memory.stat()
