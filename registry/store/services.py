"""Services: which subsystem offers what, by which contract revision."""

from sqlalchemy import Column, delete, func
from sqlmodel import Field, Session, SQLModel, col, select

from registry.model import Service
from registry.store.rows import BYTES
from security.identifiers import MemberId, ServiceId


class ServiceRow(SQLModel, table=True):
    """A service of a subsystem. `contract` is the SHA-256 of its contract's target file."""

    __tablename__ = "services"

    id: str = Field(primary_key=True)
    member: str = Field(foreign_key="members.id", index=True)
    subsystem: str = Field(foreign_key="subsystems.id")
    contract: bytes = Field(sa_column=Column(BYTES, nullable=False))


def put(session: Session, service: Service) -> None:
    """Lists a service, or moves it to another contract revision."""
    row = session.get(ServiceRow, str(service.id))
    if row is None:
        row = ServiceRow(
            id=str(service.id),
            member=str(service.id.subsystem.member),
            subsystem=str(service.id.subsystem),
            contract=service.contract,
        )
    row.contract = service.contract
    session.add(row)
    session.flush()


def find(session: Session, service: ServiceId) -> Service | None:
    """The service, or None."""
    row = session.get(ServiceRow, str(service))
    return None if row is None else _service(row)


def remove(session: Session, service: ServiceId) -> None:
    """Takes a service from the list; its contract stays."""
    session.exec(delete(ServiceRow).where(col(ServiceRow.id) == str(service)))


def of_member(session: Session, member: MemberId) -> tuple[Service, ...]:
    """A member's services, by id."""
    rows = session.exec(
        select(ServiceRow).where(col(ServiceRow.member) == str(member)).order_by(col(ServiceRow.id))
    )
    return tuple(_service(row) for row in rows)


def implementers(session: Session) -> list[tuple[bytes, MemberId]]:
    """The contracts' files that services go by, with the members whose they are."""
    query = select(ServiceRow.contract, ServiceRow.member).distinct()
    return [(contract, MemberId.parse(member)) for contract, member in session.exec(query)]


def count(session: Session) -> int:
    """How many services are listed."""
    return session.exec(select(func.count()).select_from(ServiceRow)).one()


def _service(row: ServiceRow) -> Service:
    return Service(ServiceId.parse(row.id), row.contract)
