"""What keeps agreements while calls are carried: how often, what, by whose consent, how long."""

from dataclasses import dataclass, field

from node.exchange.allowance import Allowance
from node.exchange.consents import Consents
from node.exchange.fields import FieldRules
from node.exchange.under import UnderWay


@dataclass(frozen=True, slots=True)
class Keeping:
    """One for each worker, for both sides of calls."""

    allowance: Allowance
    fields: FieldRules
    consents: Consents
    under_way: UnderWay = field(default_factory=UnderWay)
