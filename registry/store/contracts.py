"""Contract revisions: kept for ever, because a record of years ago was read by one."""

from sqlalchemy import Column
from sqlmodel import Field, Session, SQLModel, col, select

from registry.model import Contract
from registry.store.rows import BIG, BYTES
from security.identifiers import MemberId

Key = tuple[str, bytes]


class ContractRow(SQLModel, table=True):
    """A revision of a contract, by service and SHA-256 of its descriptor set."""

    __tablename__ = "contracts"

    service: str = Field(primary_key=True)
    descriptor_sha256: bytes = Field(sa_column=Column(BYTES, primary_key=True))
    descriptor_set: bytes = Field(sa_column=Column(BYTES, nullable=False))
    publisher: str = Field(foreign_key="members.id")
    published_at_ms: int = Field(sa_column=Column(BIG, nullable=False))


def ensure(session: Session, contract: Contract, now_ms: int) -> None:
    """Keeps a revision; one that is kept already keeps its first publisher."""
    if session.get(ContractRow, (contract.service, contract.descriptor_sha256)) is None:
        session.add(
            ContractRow(
                service=contract.service,
                descriptor_sha256=contract.descriptor_sha256,
                descriptor_set=contract.descriptor_set,
                publisher=str(contract.publisher),
                published_at_ms=now_ms,
            )
        )
        session.flush()


def find(session: Session, key: Key) -> Contract | None:
    """The revision of this service name and descriptor hash, or None."""
    row = session.get(ContractRow, key)
    return None if row is None else _contract(row)


def every_key(session: Session) -> list[Key]:
    """The keys of all revisions, in order."""
    query = select(ContractRow.service, ContractRow.descriptor_sha256).order_by(
        col(ContractRow.service), col(ContractRow.descriptor_sha256)
    )
    return [(service, sha256) for service, sha256 in session.exec(query)]


def _contract(row: ContractRow) -> Contract:
    return Contract(
        service=row.service,
        descriptor_sha256=row.descriptor_sha256,
        descriptor_set=row.descriptor_set,
        publisher=MemberId.parse(row.publisher),
    )
