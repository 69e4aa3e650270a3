"""What keeps an agreement's terms while calls are carried: how often, and which fields."""

from dataclasses import dataclass

from node.exchange.allowance import Allowance
from node.exchange.fields import FieldRules


@dataclass(frozen=True, slots=True)
class Keeping:
    """One for each worker, for both sides of calls."""

    allowance: Allowance
    fields: FieldRules
