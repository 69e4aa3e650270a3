"""A registry without servers, and a node that asks things of it as a real one does."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

from registry import administration, config, enrolment, home, membership
from registry.administration import TokenRequest
from registry.authority import Authority, new_serial
from registry.home import NewRegistry
from registry.life import Standing
from registry.membership import Act, NewMember
from registry.registrar import Registrar
from registry.store.database import Store
from runtime.clock import now_ms
from runtime.ports import free_addresses
from security import certificate
from security.directory_records import parse_policy
from security.hashing import CHANGE_SIGNATURE, ENROLMENT_SIGNATURE
from security.identifiers import MemberId, NodeId, RegionCode
from security.keys import Algorithm, PrivateKey, generate
from security.statement import (
    MemberStatementView,
    SealKeyView,
    make_statement,
    statement_hash,
)
from simpul.v1 import directory_pb2, registry_pb2, statement_pb2
from tests.support import postgres

NOW = 1_760_000_000_000
DAY_MS = 24 * 60 * 60 * 1000
FEDERATION = "ID"
KOMODO = MemberId.parse("ID/DAERAH/53.15")
WAKATOBI = MemberId.parse("ID/DAERAH/74.07")
LABUAN = NodeId.parse("ID/~labuan-bajo-1")
SECRET = b"s" * 32

M = TypeVar("M", bound=Message)


@dataclass
class Actor:
    """A member's node with its keys: makes requests, right ones unless told otherwise."""

    member: MemberId = KOMODO
    node: NodeId = LABUAN
    secret: bytes = SECRET
    identity: PrivateKey = field(default_factory=lambda: generate(Algorithm.ED25519))
    node_key: PrivateKey = field(default_factory=lambda: generate(Algorithm.ED25519))
    tls_key: bytes = field(default_factory=certificate.make_key)
    number: int = 0
    # Of the member's last statement: number and hash.
    last: tuple[int, bytes] | None = None
    now_ms: int = NOW

    def next_view(self, *nodes: NodeId, until_ms: int | None = None) -> MemberStatementView:
        """The member's next statement: a new seal key for each node (this one by default)."""
        number, before = (0, None) if self.last is None else self.last
        until = self.now_ms + 365 * DAY_MS if until_ms is None else until_ms
        return MemberStatementView(
            member=self.member,
            number=number + 1,
            identity_key=self.identity.public,
            seal_keys=tuple(
                SealKeyView(generate(Algorithm.ED25519).public, node, 1, until)
                for node in nodes or (self.node,)
            ),
            issued_at_ms=self.now_ms,
            previous=before,
        )

    def sign_statement(
        self, view: MemberStatementView, predecessor: PrivateKey | None = None
    ) -> statement_pb2.SignedStatement:
        """Signs a statement, and remembers it as the last."""
        signed = make_statement(view, self.identity, predecessor)
        self.last = (view.number, statement_hash(signed.statement))
        return signed

    def enrolment(self, **changed: object) -> registry_pb2.Enrolment:
        """A request to join; `changed` replaces fields, None clears one."""
        message = registry_pb2.Enrolment(
            version=1,
            secret=self.secret,
            federation=FEDERATION,
            member=str(self.member),
            node=str(self.node),
            node_key=self.node_key.public.to_proto(),
            certificate_request=certificate.make_request(self.tls_key, self.node),
            link_address="127.0.0.1:7101",
            slots=2,
        )
        if "statement" not in changed:
            message.statement.CopyFrom(self.sign_statement(self.next_view()))
        return _changed(message, changed)

    def sign_enrolment(self, message: registry_pb2.Enrolment) -> tuple[bytes, bytes]:
        """The bytes and their signature."""
        data = message.SerializeToString(deterministic=True)
        return data, self.node_key.sign(ENROLMENT_SIGNATURE, data)

    def change(self, **fields: object) -> registry_pb2.Change:
        """A change with the next number; the kind and other fields as given."""
        self.number += 1
        message = registry_pb2.Change(
            version=1,
            federation=FEDERATION,
            node=str(self.node),
            number=self.number,
            made_at_ms=self.now_ms,
        )
        return _changed(message, fields)

    def sign_change(self, message: registry_pb2.Change) -> tuple[bytes, bytes]:
        """The bytes and their signature."""
        data = message.SerializeToString(deterministic=True)
        return data, self.node_key.sign(CHANGE_SIGNATURE, data)


def descriptor_set(service: str = "wisata.v1.Wisata", methods: tuple[str, ...] = ("Get",)) -> bytes:
    """A contract: one file with one service, whose methods take and give an empty message."""
    package, _, name = service.rpartition(".")
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.message_type.add(name="Nothing")
    made = file.service.add(name=name)
    for method in methods:
        made.method.add(
            name=method, input_type=f".{package}.Nothing", output_type=f".{package}.Nothing"
        )
    return FileDescriptorSet(file=[file]).SerializeToString(deterministic=True)


def publish_service(
    subsystem: str = f"{KOMODO}/pariwisata",
    service: str = "wisata.v1.Wisata",
    protoset: bytes | None = None,
) -> registry_pb2.PublishService:
    """A service to publish."""
    return registry_pb2.PublishService(
        subsystem=subsystem,
        service=service,
        descriptor_set=descriptor_set(service) if protoset is None else protoset,
    )


def a_policy(authority_der: bytes) -> bytes:
    """A federation's policy, as published."""
    return directory_pb2.FederationPolicy(
        version=1,
        federation=FEDERATION,
        stale_after_ms=600_000,
        dead_after_ms=7 * DAY_MS,
        tls_authorities=[authority_der],
        member_classes=["DAERAH", "KEMENTERIAN"],
        limits=directory_pb2.Limits(
            max_message_bytes=1,
            max_parcel_bytes=1,
            max_entries=1,
            max_metadata_bytes=1,
            max_call_ms=1,
        ),
    ).SerializeToString(deterministic=True)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest schema, made once and copied for each test."""
    path = tmp_path_factory.mktemp("store") / "registry.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def empty_postgres() -> Iterator[str]:
    """The same in PostgreSQL: its name."""
    with postgres.registry_database() as name:
        Store.open(postgres.registry_url(name)).close()
        yield name


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database at the newest schema: each kind in turn."""
    if request.param == "sqlite":
        empty: Path = request.getfixturevalue("empty_database")
        shutil.copy(empty, tmp_path / "registry.db")
        yield f"sqlite:///{tmp_path / 'registry.db'}"
        return
    with postgres.registry_database(request.getfixturevalue("empty_postgres")) as name:
        yield postgres.registry_url(name)


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new registry's home, made once and copied for each test."""
    return home.create(tmp_path_factory.mktemp("home") / "registry", NewRegistry(), now_ms()).path


@pytest.fixture
def own_home(first_home: Path, tmp_path: Path, url: str) -> Path:
    """A new registry's home, with ports of its own; deep enough, and not too deep for a socket."""
    path = Path(shutil.copytree(first_home, tmp_path / "r"))
    addresses = free_addresses(4)
    text = config.first_file("ID", config.Listening(*addresses))
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).rename(path / "registry.db")
    else:
        text += f'\n[database]\nurl = "{url}"\n'
    (path / "registry.toml").write_text(text)
    return path


def open_store(home_folder: Path) -> Store:
    """The store of a home whose registry does not run."""
    place = home.RegistryHome.open(home_folder)
    return Store.open(place.database_url(config.load(place.settings_file, {})))


@pytest.fixture
def registrar(url: str) -> Iterator[Registrar]:
    """A store with two members and no node."""
    authority = Authority(*certificate.make_authority("Test", NOW, new_serial()))
    store = Store.open(url)
    made = Registrar(store, parse_policy(a_policy(authority.certificate_der)), authority)
    for member in (KOMODO, WAKATOBI):
        code = RegionCode.parse(member.code)
        new = NewMember(member, f"Kabupaten {member.code}", (code,))
        membership.add(made, new, Act("test", NOW))
    yield made
    store.close()


def set_state(registrar: Registrar, state: Standing, member: MemberId = KOMODO) -> None:
    """Takes a member to a state, with a reason."""
    membership.set_state(registrar, member, state, Act("test", NOW, "a test"))


def give_token(registrar: Registrar, actor: "Actor", expires_at_ms: int = NOW + DAY_MS) -> None:
    """Makes the token that `actor` holds."""
    wanted = TokenRequest(actor.member, actor.node, actor.secret, expires_at_ms)
    administration.create_enrolment(registrar, wanted, NOW)


@pytest.fixture
def actor(registrar: Registrar) -> Actor:
    """A node of 53.15 with a token that is good for a day."""
    made = Actor()
    give_token(registrar, made)
    return made


@pytest.fixture
def enrolled(registrar: Registrar, actor: Actor) -> Actor:
    """The same, joined."""
    enrolment.enrol(registrar, *actor.sign_enrolment(actor.enrolment()), NOW)
    return actor


def _changed(message: M, fields: dict[str, object]) -> M:
    for name, value in fields.items():
        if value is None:
            message.ClearField(name)
        elif isinstance(value, Message):
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message


@pytest.fixture
def neighbour(registrar: Registrar) -> Actor:
    """A node of another member."""
    made = Actor(member=WAKATOBI, node=NodeId("ID", "wakatobi-1"), secret=b"w" * 32)
    give_token(registrar, made)
    enrolment.enrol(registrar, *made.sign_enrolment(made.enrolment()), NOW)
    return made
