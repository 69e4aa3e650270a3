"""A store in a file, and values to put in it."""

from collections.abc import Iterator

import pytest

from registry.model import Member, Node, Region, Token
from registry.store.database import Store
from security.identifiers import MemberId, NodeId, RegionCode
from security.keys import Algorithm, generate

NOW = 1_760_000_000_000

KOMODO = MemberId.parse("ID/DAERAH/53.15")
LABUAN = NodeId.parse("ID/~labuan-bajo-1")

MEMBER = Member(
    id=KOMODO,
    legal_name="Kabupaten Manggarai Barat",
    regions=(Region(RegionCode.parse("53.15"), NOW), Region(RegionCode.parse("53.16"), NOW, NOW)),
)
TOKEN = Token(secret_hash=b"h" * 32, member=KOMODO, node=LABUAN, expires_at_ms=NOW + 1)


def a_node(name: str = "labuan-bajo-1") -> Node:
    """A node with a key of its own."""
    return Node(
        id=NodeId("ID", name),
        owner=KOMODO,
        key=generate(Algorithm.ED25519).public,
        link_address="127.0.0.1:9000",
        slots=2,
        certificate_expires_at_ms=NOW + 30,
    )


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    yield opened
    opened.close()
