"""A small federation's directory, made of real records: what tests change one thing of."""

from collections.abc import Mapping

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from security.directory import DirectoryView
from security.directory_records import POLICY_PATH, contract_path, member_path
from security.hashing import sha256
from security.identifiers import MemberId, NodeId
from security.keys import PrivateKey
from security.statement import MemberStatementView, SealKeyView, make_statement
from simpul.v1 import directory_pb2, statement_pb2
from tests.conformance import fixed

VERSION = 7
HASH = sha256(b"snapshot")


def descriptor_set(service: str = fixed.SERVICE) -> bytes:
    """A service with a method of each kind: Get, List, Import and Watch."""
    package, _, name = service.rpartition(".")
    files = FileDescriptorSet()
    file = files.file.add(name=f"{name.lower()}.proto", package=package, syntax="proto3")
    island = file.message_type.add(name="Island")
    for number, field in enumerate(("name", "keeper"), 1):
        island.field.add(
            name=field, number=number, type=FieldDescriptorProto.TYPE_STRING,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )  # fmt: skip
    definition = file.service.add(name=name)
    for method, client, server in (
        ("Get", False, False),
        ("List", False, True),
        ("Import", True, False),
        ("Watch", True, True),
    ):
        definition.method.add(
            name=method,
            input_type=f".{package}.Island",
            output_type=f".{package}.Island",
            client_streaming=client,
            server_streaming=server,
        )
    return files.SerializeToString(deterministic=True)


def contract_file(service: str = fixed.SERVICE) -> tuple[str, bytes]:
    """A contract's path and content."""
    definition = descriptor_set(service)
    revision = directory_pb2.ContractRevision(
        version=1,
        federation=fixed.FEDERATION,
        service=service,
        descriptor_set=definition,
        publisher=str(fixed.REGENCY),
    )
    return contract_path(service, definition), revision.SerializeToString(deterministic=True)


def policy() -> directory_pb2.FederationPolicy:
    """A policy with the default ages."""
    return directory_pb2.FederationPolicy(
        version=1,
        federation=fixed.FEDERATION,
        stale_after_ms=600_000,
        dead_after_ms=7 * fixed.DAY_MS,
        tls_authorities=[b"a certificate"],
        member_classes=["DAERAH", "KEMENTERIAN"],
        limits=directory_pb2.Limits(
            max_message_bytes=16_777_216,
            max_parcel_bytes=8_388_608,
            max_entries=256,
            max_metadata_bytes=65_536,
            max_call_ms=3_600_000,
        ),
    )


def statement_view(
    member: MemberId, node: NodeId, identity: PrivateKey, seal: PrivateKey
) -> MemberStatementView:
    """A member's first statement, with one seal key, valid for a year from the day before."""
    return MemberStatementView(
        member=member,
        number=1,
        identity_key=identity.public,
        seal_keys=(
            SealKeyView(
                seal.public,
                node,
                fixed.NOW_MS - fixed.DAY_MS,
                fixed.NOW_MS + 364 * fixed.DAY_MS,
            ),
        ),
        issued_at_ms=fixed.NOW_MS - fixed.DAY_MS,
        previous=None,
    )


def statement(member: MemberId, node: NodeId) -> statement_pb2.SignedStatement:
    """The same, signed; the keys are named `<member> identity` and `<member> seal`."""
    identity, seal = fixed.key(f"{member} identity"), fixed.key(f"{member} seal")
    return make_statement(statement_view(member, node, identity, seal), identity)


def member_record(member: MemberId, node: NodeId) -> directory_pb2.MemberRecord:
    """An active member with a node of its own and nothing to offer."""
    return directory_pb2.MemberRecord(
        version=1,
        federation=member.federation,
        member=str(member),
        number=1,
        state=directory_pb2.MEMBER_STATE_ACTIVE,
        legal_name=f"Badan {member.code}",
        statement=statement(member, node),
        nodes=[
            directory_pb2.Node(
                id=str(node),
                node_key=fixed.key(f"{node} node").public.to_proto(),
                link_address="127.0.0.1:7101",
                slots=[directory_pb2.JournalSlot(number=0, origin=f"simpul/{node}/0")],
                state=directory_pb2.NODE_STATE_ACTIVE,
            )
        ],
    )


def regency_record() -> directory_pb2.MemberRecord:
    """The regency, which offers `wisata.v1.Wisata` in region 53.15."""
    record = member_record(fixed.REGENCY, fixed.REGENCY_NODE)
    record.regions.add(code="53.15", valid_from_ms=1)
    record.subsystems.add(id=str(fixed.TOURISM), name="Pariwisata", state=1)
    record.services.add(id=f"{fixed.TOURISM}/{fixed.SERVICE}", contract=sha256(contract_file()[1]))
    return record


def ministry_record() -> directory_pb2.MemberRecord:
    """The ministry, whose super app consumes."""
    record = member_record(fixed.MINISTRY, fixed.MINISTRY_NODE)
    record.subsystems.add(id=str(fixed.SUPER_APP), name="Super app", state=1)
    return record


def targets(
    *records: directory_pb2.MemberRecord, changed: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """The target files: policy, one contract, and the members given (else both)."""
    files = {POLICY_PATH: policy().SerializeToString(deterministic=True)}
    path, content = contract_file()
    files[path] = content
    for record in records or (regency_record(), ministry_record()):
        at = member_path(MemberId.parse(record.member))
        files[at] = record.SerializeToString(deterministic=True)
    return files | dict(changed or {})


def directory(*records: directory_pb2.MemberRecord) -> DirectoryView:
    """The directory of these members (else both), issued now."""
    return build(targets(*records))


def build(files: Mapping[str, bytes]) -> DirectoryView:
    """The directory of these files, issued now."""
    return DirectoryView.build(fixed.FEDERATION, VERSION, HASH, fixed.NOW_MS, files)
