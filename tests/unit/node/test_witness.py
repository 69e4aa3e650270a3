"""A node as a witness of others' journals."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import urllib3

from node.config import NodeConfig
from node.home import KeyName, NodeHome
from node.witness import ListedLogs, start_witness
from runtime.ports import TcpAddress
from security.checkpoint import Checkpoint, sign_checkpoint
from security.cosignature import verify_cosignature, witness_key
from security.directory import DirectoryView
from security.merkle import leaf_hash
from security.note import parse_signatures
from security.witness import AddCheckpoint
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories

ORIGIN = f"simpul/{fixed.MINISTRY_NODE}/0"
KEY = fixed.key(f"{fixed.MINISTRY_NODE} node")
LISTEN = TcpAddress("127.0.0.1", 0)
CONFIG = NodeConfig.model_validate(
    {
        "node": {"id": str(fixed.REGENCY_NODE), "members": [str(fixed.REGENCY)]},
        "registry": {
            "address": "127.0.0.1:1",
            "directory_url": "http://127.0.0.1:1",
            "certificate_sha256": "0" * 64,
        },
        "link": {"advertise": "127.0.0.1:7101"},
    }
)


def now_ms() -> int:
    return fixed.NOW_MS


def request(size: int, leaf: bytes = b"") -> bytes:
    signed = sign_checkpoint(Checkpoint(ORIGIN, size, leaf_hash(leaf)), KEY)
    return AddCheckpoint(0, (), signed).to_bytes()


def post(url: str, leaf: bytes) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", url, body=request(1, leaf), retries=False)


def test_the_listed_logs_follow_the_directory() -> None:
    current = directories.directory()
    logs = ListedLogs(lambda: current)
    assert logs(ORIGIN) == (KEY.public,)
    assert logs("another") is None
    record = directories.ministry_record()
    record.nodes[0].state = directory_pb2.NODE_STATE_REVOKED
    files = directories.targets(directories.regency_record(), record)
    # Of another version, and so of another hash.
    current = DirectoryView.build(fixed.FEDERATION, 8, b"8" * 32, fixed.NOW_MS, files)
    assert logs(ORIGIN) == ()


async def test_it_cosigns_and_keeps_its_key_and_its_memory(tmp_path: Path) -> None:
    home = NodeHome.create(tmp_path / "node")
    for leaf, status in ((b"", 200), (b"fork", 409)):
        async with AsyncExitStack() as stack:
            address = start_witness(stack, home, CONFIG, LISTEN, directories.directory, now_ms)
            answer = await asyncio.to_thread(post, f"http://{address}/add-checkpoint", leaf)
            assert answer.status == status
            if status == 200:
                (line,) = parse_signatures(answer.data.decode())
                name = "labuan-bajo-1.id.simpul.internal/witness"
                key = witness_key(name, home.read_key(KeyName.WITNESS))
                verify_cosignature(Checkpoint(ORIGIN, 1, leaf_hash(b"")).text, line, key)
