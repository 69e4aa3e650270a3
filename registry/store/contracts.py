"""Contract revisions: kept for ever, because a record of years ago was read by one."""

from sqlalchemy import Column
from sqlmodel import Field, Session, SQLModel, col, select

from registry.model import Contract
from registry.store.rows import BIG, BYTES
from security.contract_card import package_of
from security.identifiers import MemberId

Key = tuple[str, bytes]


class ContractRow(SQLModel, table=True):
    """A revision of a contract, by service and SHA-256 of its descriptor set."""

    __tablename__ = "contracts"

    service: str = Field(primary_key=True)
    descriptor_sha256: bytes = Field(sa_column=Column(BYTES, primary_key=True, index=True))
    descriptor_set: bytes = Field(sa_column=Column(BYTES, nullable=False))
    # Of the target file, which names the publisher too.
    file_sha256: bytes = Field(sa_column=Column(BYTES, nullable=False))
    publisher: str = Field(foreign_key="members.id")
    published_at_ms: int = Field(sa_column=Column(BIG, nullable=False))


def ensure(session: Session, contract: Contract, file_sha256: bytes, now_ms: int) -> bytes:
    """Keeps a revision; one that is kept already keeps its first publisher.

    Args:
        session: The transaction.
        contract: The revision.
        file_sha256: Of the target file that publishes `contract`.
        now_ms: The time.

    Returns:
        The SHA-256 of the target file of the revision that is kept.
    """
    row = session.get(ContractRow, (contract.service, contract.descriptor_sha256))
    if row is None:
        row = ContractRow(
            service=contract.service,
            descriptor_sha256=contract.descriptor_sha256,
            descriptor_set=contract.descriptor_set,
            file_sha256=file_sha256,
            publisher=str(contract.publisher),
            published_at_ms=now_ms,
        )
        session.add(row)
        session.flush()
    return row.file_sha256


def find(session: Session, key: Key) -> Contract | None:
    """The revision of this service name and descriptor hash, or None."""
    row = session.get(ContractRow, key)
    return None if row is None else _contract(row)


def of_set(session: Session, package: str, descriptor_sha256: bytes) -> tuple[Contract, ...]:
    """What a descriptor set defines of a package, by service."""
    return tuple(_contract(row) for row in _rows(session, package, descriptor_sha256))


def files_of_set(
    session: Session, package: str, descriptor_sha256: bytes
) -> tuple[tuple[str, bytes], ...]:
    """The same: each service with the SHA-256 of its target file."""
    # Without the sets themselves: they are megabytes, and this is asked for every revision.
    query = (
        select(ContractRow.service, ContractRow.file_sha256)
        .where(col(ContractRow.descriptor_sha256) == descriptor_sha256)
        .order_by(col(ContractRow.service))
    )
    return tuple(
        (service, file) for service, file in session.exec(query) if package_of(service) == package
    )


def every_file(session: Session) -> list[tuple[str, bytes]]:
    """Every service of every revision, with the SHA-256 of its target file."""
    query = select(ContractRow.service, ContractRow.file_sha256)
    return [(service, file) for service, file in session.exec(query)]


def every_key(session: Session) -> list[Key]:
    """The keys of all revisions, in order."""
    query = select(ContractRow.service, ContractRow.descriptor_sha256).order_by(
        col(ContractRow.service), col(ContractRow.descriptor_sha256)
    )
    return [(service, sha256) for service, sha256 in session.exec(query)]


def _rows(session: Session, package: str, descriptor_sha256: bytes) -> list[ContractRow]:
    query = (
        select(ContractRow)
        .where(col(ContractRow.descriptor_sha256) == descriptor_sha256)
        .order_by(col(ContractRow.service))
    )
    return [row for row in session.exec(query) if package_of(row.service) == package]


def _contract(row: ContractRow) -> Contract:
    return Contract(
        service=row.service,
        descriptor_sha256=row.descriptor_sha256,
        descriptor_set=row.descriptor_set,
        publisher=MemberId.parse(row.publisher),
    )
