"""The tables of `state.db`. A change here needs a new migration; a test compares the two.

Times are milliseconds since the epoch, UTC; ids are their text forms; hashes and key ids are bytes.
"""

from sqlalchemy import BigInteger, ForeignKeyConstraint, MetaData
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Table(SQLModel, registry=registry(metadata=MetaData())):
    """Base of this database's tables. Their own metadata: other databases have tables too."""


class AgreementRow(Table, table=True):
    """A signed agreement that this node's members are party to, as it was signed."""

    __tablename__ = "agreement"

    hash: bytes = Field(primary_key=True)
    agreement: bytes
    provider_signature: bytes
    consumer_signature: bytes
    provider: str = Field(index=True)
    consumer: str = Field(index=True)
    added_at_ms: int = Field(sa_type=BigInteger)
    # The delegation that it rests on, and the delegator's signature of that; empty: of none.
    delegation: bytes = b""
    delegator_signature: bytes = b""


class PinnedIdentityRow(Table, table=True):
    """The identity key by which a member hosted here (`owner`) knows, or knew, a partner."""

    __tablename__ = "pinned_identity"

    owner: str = Field(primary_key=True)
    member: str = Field(primary_key=True)
    identity_key_id: bytes = Field(primary_key=True)
    # A PublicKey message.
    identity_key: bytes
    pinned_at_ms: int = Field(sa_type=BigInteger)
    # When its successor took its place; empty for the one in force.
    replaced_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class AppRow(Table, table=True):
    """An app's credential: the SHA-256 of a token or of a client certificate."""

    __tablename__ = "app"

    name: str = Field(primary_key=True)
    token_sha256: bytes | None = Field(default=None, unique=True)
    certificate_sha256: bytes | None = Field(default=None, unique=True)
    expires_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    added_at_ms: int = Field(sa_type=BigInteger)


class AppSubsystemRow(Table, table=True):
    """One subsystem that an app may act for."""

    __tablename__ = "app_subsystem"

    app: str = Field(primary_key=True, foreign_key="app.name", ondelete="CASCADE")
    subsystem: str = Field(primary_key=True)


class RouteRow(Table, table=True):
    """Where the calls of a published service go."""

    __tablename__ = "route"

    service_id: str = Field(primary_key=True)
    target: str
    routed_at_ms: int = Field(sa_type=BigInteger)


class ChangeNumberRow(Table, table=True):
    """The number of the last change that this node asked the registry for. One row."""

    __tablename__ = "change_number"

    id: int = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)


class FloorRow(Table, table=True):
    """The lowest version of a directory role that this node still accepts."""

    __tablename__ = "directory_floor"

    role: str = Field(primary_key=True)
    version: int = Field(sa_type=BigInteger)


class FloorStateRow(Table, table=True):
    """What the floors were taken from. One row."""

    __tablename__ = "directory_floor_state"

    id: int = Field(primary_key=True)
    # JSON lists of key ids.
    timestamp_keys: str
    snapshot_keys: str
    issued_at_ms: int = Field(sa_type=BigInteger)
    snapshot_hash: bytes


class DayCountRow(Table, table=True):
    """How many calls of an agreement were given out on a day, by this node as one of its sides."""

    __tablename__ = "day_count"

    # The agreement's hash, and the side.
    key: bytes = Field(primary_key=True)
    # Since the epoch, UTC+7.
    day: int = Field(sa_type=BigInteger)
    given: int = Field(sa_type=BigInteger)


class AgreementLifeRow(Table, table=True):
    """Where an agreement stands: one row for each agreement."""

    __tablename__ = "agreement_life"

    hash: bytes = Field(primary_key=True, foreign_key="agreement.hash")
    # A security.agreement_life.Life.
    life: str = Field(index=True)
    # The hash of the request that it counters, if it does.
    counters: bytes | None = Field(default=None)
    # What the other side was told with it.
    note: str


class AgreementStepRow(Table, table=True):
    """A step of an agreement's life, in the order in which this node took or heard of them."""

    __tablename__ = "agreement_step"

    number: int | None = Field(default=None, primary_key=True)
    hash: bytes = Field(index=True, foreign_key="agreement.hash")
    step: str
    party: str
    at_ms: int = Field(sa_type=BigInteger)
    reason: str
    # Of this node's own members, and so to be told to the other side.
    own: bool
    told_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class RevocationRow(Table, table=True):
    """A signed revocation; each side may have made one."""

    __tablename__ = "revocation"

    hash: bytes = Field(primary_key=True, foreign_key="agreement.hash")
    member: str = Field(primary_key=True)
    revocation: bytes
    key_id: bytes
    signature: bytes


class GroupRow(Table, table=True):
    """A group of consumers that a member hosted here (`owner`) keeps for itself."""

    __tablename__ = "consumer_group"

    owner: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    title: str


class GroupMemberRow(Table, table=True):
    """A consumer that is in a group now."""

    __tablename__ = "consumer_group_member"
    __table_args__ = (
        ForeignKeyConstraint(
            ["owner", "group"], ["consumer_group.owner", "consumer_group.name"], ondelete="CASCADE"
        ),
    )

    owner: str = Field(primary_key=True)
    group: str = Field(primary_key=True)
    member: str = Field(primary_key=True)
    added_by: str
    added_at_ms: int = Field(sa_type=BigInteger)


class TemplateRow(Table, table=True):
    """Terms that an operator approved for a group, for the services of a member hosted here."""

    __tablename__ = "template"

    owner: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    group: str
    federation_wide: bool
    follow: bool
    # A simpul.node.v1.AccessTerms.
    terms: bytes
    approved_by: str
    approved_at_ms: int = Field(sa_type=BigInteger)
    expires_at_ms: int = Field(sa_type=BigInteger)
    ended_by: str
    # 0: nobody has ended it.
    ended_at_ms: int = Field(sa_type=BigInteger)


class TemplateMemberRow(Table, table=True):
    """A member that was in a template's federation-wide group when it was approved."""

    __tablename__ = "template_member"
    __table_args__ = (
        ForeignKeyConstraint(["owner", "template"], ["template.owner", "template.name"]),
    )

    owner: str = Field(primary_key=True)
    template: str = Field(primary_key=True)
    member: str = Field(primary_key=True)


class TemplateAgreementRow(Table, table=True):
    """An agreement that a template answered."""

    __tablename__ = "template_agreement"
    __table_args__ = (
        ForeignKeyConstraint(["owner", "template"], ["template.owner", "template.name"]),
    )

    hash: bytes = Field(primary_key=True, foreign_key="agreement.hash")
    owner: str
    template: str
    member: str
    at_ms: int = Field(sa_type=BigInteger)


class DelegationRow(Table, table=True):
    """A delegation that a member hosted here gave or acts by, or that names one as a provider."""

    __tablename__ = "delegation"

    hash: bytes = Field(primary_key=True)
    delegation: bytes
    # Of one that was ended before it was heard of: as it came, verified by nobody.
    signature: bytes
    delegator: str = Field(index=True)
    valid_until_ms: int = Field(sa_type=BigInteger)
    added_at_ms: int = Field(sa_type=BigInteger)
    # Given at this node, and so to be told to the delegate.
    own: bool
    told_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class DelegationEndRow(Table, table=True):
    """The revocation of a delegation."""

    __tablename__ = "delegation_end"

    hash: bytes = Field(primary_key=True, foreign_key="delegation.hash")
    revocation: bytes
    key_id: bytes
    signature: bytes
    # Ended at this node, and so to be told to the delegate and the providers.
    own: bool
    told_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class OperatorRoleRow(Table, table=True):
    """What a user of this machine is for a member hosted here."""

    __tablename__ = "operator_role"

    # The user's name as it was when he was added.
    name: str = Field(primary_key=True)
    member: str = Field(primary_key=True)
    # By which the kernel names him.
    uid: int = Field(index=True)
    # A node.caller.Role.
    role: str


class ConsentRow(Table, table=True):
    """A citizen's consent. Who it is, is a keyed hash; a withdrawal stays for good."""

    __tablename__ = "consent"

    reference: str = Field(primary_key=True)
    subject_tag: bytes = Field(index=True)
    consumer: str
    service_id: str
    purpose: str
    recorded_at_ms: int = Field(sa_type=BigInteger, index=True)
    valid_until_ms: int = Field(sa_type=BigInteger)
    withdrawn_at_ms: int | None = Field(default=None, sa_type=BigInteger)
