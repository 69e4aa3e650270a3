"""Apps that may call through this node, by the hashes of their credentials.

It authenticates nobody: `node.policy.apps` does, from the list that `list_apps` gives. A name
belongs to one app, a credential too.
"""

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from node.policy.apps import AppCredential
from node.store.engine import Store
from node.store.models import AppRow, AppSubsystemRow
from security.errors import Code, SimpulError
from security.identifiers import SubsystemId


def add_app(store: Store, app: AppCredential, now_ms: int) -> None:
    """Stores an app.

    Raises:
        SimpulError: ALREADY_EXISTS, when its name or its credential is taken.
    """
    row = AppRow(
        name=app.name,
        token_sha256=app.token_sha256,
        certificate_sha256=app.certificate_sha256,
        expires_at_ms=app.expires_at_ms,
        added_at_ms=now_ms,
    )
    try:
        with store.transaction() as session:
            session.add(row)
            session.flush()
            for subsystem in app.subsystems:
                session.add(AppSubsystemRow(app=app.name, subsystem=str(subsystem)))
    except IntegrityError as error:
        raise SimpulError(
            Code.ALREADY_EXISTS,
            f"an app named {app.name}, or with this certificate, exists: "
            "remove it first, or take another name",
            app=app.name,
        ) from error


def list_apps(store: Store) -> tuple[AppCredential, ...]:
    """All apps by name, the expired ones too."""
    with store.transaction() as session:
        rows = session.exec(select(AppRow).order_by(col(AppRow.name))).all()
        return tuple(_credential(session, row) for row in rows)


def remove_app(store: Store, name: str) -> None:
    """Forgets an app and its credential.

    Raises:
        SimpulError: NOT_FOUND.
    """
    with store.transaction() as session:
        result = session.exec(delete(AppRow).where(col(AppRow.name) == name))
        if result.rowcount != 1:
            raise SimpulError(
                Code.NOT_FOUND, f"no app named {name}: `simpul app list` shows those there are"
            )


def _credential(session: Session, row: AppRow) -> AppCredential:
    query = (
        select(AppSubsystemRow.subsystem)
        .where(AppSubsystemRow.app == row.name)
        .order_by(col(AppSubsystemRow.subsystem))
    )
    return AppCredential(
        name=row.name,
        subsystems=tuple(SubsystemId.parse(text) for text in session.exec(query)),
        token_sha256=row.token_sha256,
        certificate_sha256=row.certificate_sha256,
        expires_at_ms=row.expires_at_ms,
    )
