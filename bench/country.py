"""A country's registry, made without its nodes: members, subsystems, nodes and contracts.

Members and subsystems come by the operators' own command, and how long that takes is a figure.
Nodes and contracts are put into the store by the registry's own functions while it stands still: in
a country they come one by one, over years.

Descriptor sets are random, of 10 KB each on average: no two are alike.
"""

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pb2 import FileDescriptorSet as Files

from registry import config, enrolment, passphrases
from registry.administration import TokenRequest, create_enrolment
from registry.contracts import publishing
from registry.directory.folder import PublishedFolder
from registry.directory.publisher import Publisher
from registry.directory.signers import load
from registry.home import RegistryHome
from registry.model import Service
from registry.registrar import Registrar
from registry.store import services
from registry.store.database import Store
from runtime.clock import now_ms
from security import certificate
from security.directory_records import parse_policy
from security.hashing import ENROLMENT_SIGNATURE
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from security.keys import Algorithm, generate
from security.statement import MemberStatementView, SealKeyView, make_statement
from simpul.v1 import registry_pb2

FEDERATION: Final = "ID"
DAY_MS: Final = 24 * 60 * 60 * 1000
# Of one message: with four of them a set has about 10 KB.
FIELDS: Final = 60
MESSAGES: Final = 4
_TYPES: Final = (
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_BOOL,
    FieldDescriptorProto.TYPE_DOUBLE,
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a country is."""

    members: int = 1200
    subsystems: int = 20_000
    nodes: int = 700
    contracts: int = 5000


@dataclass
class Country:
    """What is made of one; the same each time."""

    size: Size
    chance: random.Random = field(default_factory=lambda: random.Random(5))

    def member(self, number: int) -> MemberId:
        """The member of this number."""
        return MemberId.parse(f"{FEDERATION}/DAERAH/{number}")

    def subsystem(self, number: int) -> SubsystemId:
        """The subsystem of this number: they are dealt out to members in turn."""
        return SubsystemId(self.member(number % self.size.members), self.name(number))

    def write_csv(self, file: Path) -> None:
        """The members with their subsystems, as an operator would have them."""
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(("member", "legal_name", "subsystems"))
            for number in range(self.size.members):
                own = range(number, self.size.subsystems, self.size.members)
                names = " ".join(map(self.name, own))
                writer.writerow((self.member(number), f"Kabupaten nomor {number}", names))

    def fill(self, home: RegistryHome) -> None:
        """Enrols the nodes and publishes the contracts. The registry doesn't run."""
        registrar = _registrar(home)
        try:
            for number in range(self.size.nodes):
                self._enrol(registrar, number)
            with registrar.store.transaction() as session:
                for number in range(self.size.contracts):
                    subsystem = self.subsystem(number)
                    name, descriptor_set = self._contract(number)
                    service = ServiceId(subsystem, name)
                    found = publishing.implement(
                        session, service, descriptor_set, now_ms(), listed=False
                    )
                    services.put(session, Service(service, found.file_sha256))
        finally:
            registrar.store.close()

    def _enrol(self, registrar: Registrar, number: int) -> None:
        now, member = now_ms(), self.member(number)
        node = NodeId.parse(f"{FEDERATION}/~sumut-{number}")
        secret = self.chance.randbytes(32)
        create_enrolment(registrar, TokenRequest(member, node, secret, now + DAY_MS), now)
        identity, key = generate(Algorithm.ED25519), generate(Algorithm.ED25519)
        seal = SealKeyView(generate(Algorithm.ED25519).public, node, 1, now + 365 * DAY_MS)
        view = MemberStatementView(member, 1, identity.public, (seal,), now, None)
        request = registry_pb2.Enrolment(
            version=1,
            secret=secret,
            federation=FEDERATION,
            member=str(member),
            node=str(node),
            node_key=key.public.to_proto(),
            certificate_request=certificate.make_request(certificate.make_key(), node),
            link_address=f"127.0.0.1:{7000 + number}",
            slots=1,
            statement=make_statement(view, identity, None),
        )
        data = request.SerializeToString(deterministic=True)
        enrolment.enrol(registrar, data, key.sign(ENROLMENT_SIGNATURE, data), now)

    def _contract(self, number: int) -> tuple[str, bytes]:
        package = f"{self.name(number)}.v1"
        file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
        for message in range(MESSAGES):
            made = file.message_type.add(name=f"Data{message}")
            for at, name in enumerate(self._words(FIELDS), 1):
                made.field.add(
                    name=name,
                    number=at,
                    json_name=name,
                    label=FieldDescriptorProto.LABEL_OPTIONAL,
                    type=self.chance.choice(_TYPES),
                )
        service = file.service.add(name="Layanan")
        for method in range(MESSAGES // 2):
            service.method.add(
                name=f"Ambil{method}",
                input_type=f".{package}.Data{2 * method}",
                output_type=f".{package}.Data{2 * method + 1}",
            )
        return f"{package}.Layanan", Files(file=[file]).SerializeToString(deterministic=True)

    def _words(self, count: int) -> Iterator[str]:
        for number in range(count):
            yield f"{self.chance.choice(_WORDS)}_{self.chance.choice(_WORDS)}_{number}"

    @staticmethod
    def name(number: int) -> str:
        """The name of the subsystem of this number, and of its package."""
        return f"sistem{number}"


def _registrar(home: RegistryHome) -> Registrar:
    settings = config.load(home.settings_file, {})
    publisher = Publisher.open(PublishedFolder(home.directory.path), load(home.keys))
    passphrase = partial(passphrases.find, settings.authority.passphrase_file, {})
    authority = home.authority(passphrase, config.authority_store(settings, {}))
    store = Store.open(home.database_url(settings))
    return Registrar(store, parse_policy(publisher.policy_file), authority)


_WORDS: Final = (
    "nama", "alamat", "tanggal", "nomor", "jumlah", "luas", "kode", "jenis", "status", "nilai",
    "wilayah", "desa", "kecamatan", "pemilik", "usaha", "izin", "pajak", "pulau", "wisata", "tamu",
    "hotel", "jalan", "jembatan", "sekolah", "guru", "murid", "pasien", "obat", "dokter", "sawah",
)  # fmt: skip
