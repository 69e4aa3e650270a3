"""All tables of this version: imported by whoever compares or creates a whole schema."""

from sqlmodel import SQLModel

from registry.store import (
    activities,
    audit,
    cards,
    changes,
    contracts,
    lives,
    members,
    nodes,
    operators,
    pending,
    services,
    shelf,
    statements,
    submissions,
    subsystems,
    tls_keys,
    tokens,
    under_way,
    waiting,
)

TABLES = (
    members.MemberRow,
    members.RegionRow,
    members.RevokedKeyRow,
    lives.ContactRow,
    lives.LifeEventRow,
    statements.SuccessionRow,
    statements.SealKeyRequestRow,
    nodes.NodeRow,
    subsystems.SubsystemRow,
    services.ServiceRow,
    activities.ActivityRow,
    contracts.ContractRow,
    cards.CardRow,
    cards.RevisionRow,
    submissions.SubmissionRow,
    submissions.SubmissionEventRow,
    tokens.TokenRow,
    tls_keys.TlsKeyRow,
    changes.ChangeRow,
    waiting.WaitingChangeRow,
    shelf.ShelfFileRow,
    shelf.ShelfHeadRow,
    under_way.UnderWayRow,
    audit.AuditEntryRow,
    audit.AuditHeadRow,
    operators.OperatorRow,
    pending.PendingActRow,
)

METADATA = SQLModel.metadata
