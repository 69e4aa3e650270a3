"""What enrolments, changes and administration work with."""

from dataclasses import dataclass, field

from registry.authority import Authority
from registry.contracts.model import Comparer, NoComparer
from registry.store.database import Store
from security.directory_records import PolicyView


@dataclass(slots=True)
class Registrar:
    """The store, the policy that is published, the authority, and the kinds of change that wait.

    The policy is replaced when another is published, by the writer's thread.
    """

    store: Store
    policy: PolicyView
    authority: Authority
    # By their names in the proto: `publish_service`.
    decided_by_operators: frozenset[str] = frozenset()
    # Finds contracts that are much like a new one.
    comparer: Comparer = field(default_factory=NoComparer)

    @property
    def federation(self) -> str:
        """`ID`."""
        return self.policy.federation
