"""All tables of this version: imported by whoever compares or creates a whole schema."""

from sqlmodel import SQLModel

from registry.store import (
    audit,
    changes,
    contracts,
    lives,
    members,
    nodes,
    operators,
    pending,
    services,
    statements,
    subsystems,
    tokens,
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
    contracts.ContractRow,
    tokens.TokenRow,
    changes.ChangeRow,
    waiting.WaitingChangeRow,
    audit.AuditEntryRow,
    audit.AuditHeadRow,
    operators.OperatorRow,
    pending.PendingActRow,
)

METADATA = SQLModel.metadata
