"""Whether a service matches a contract: asked by an operator, and when one is published.

The registry decides what is listed, by the same comparison. Here a service that runs is asked what
it is, which the registry can't do: what stands in a file may be right while another contract
answers at the target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from node.operations.contracts import card_of
from node.operations.desk import Desk
from node.provider.reflection import reflect
from node.provider.target import parse_target
from node.provider.tls import ServiceTls, service_tls
from security.contract import contract_pool, parse_descriptor_set
from security.contract_card import CardView
from security.contract_match import MAX_MATCHED, Difference, beside, differences, differs
from security.directory import DirectoryView
from security.errors import Code, SimpulError


@dataclass(frozen=True, slots=True)
class CheckedService:
    """One of a contract's services; `offered` False: it isn't there, and nothing was compared."""

    name: str
    offered: bool
    differences: tuple[Difference, ...] = ()
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a comparison with one revision."""

    revision: int
    services: tuple[CheckedService, ...]

    @property
    def count(self) -> int:
        """Of all differences."""
        return sum(len(each.differences) for each in self.services)


async def check(
    desk: Desk, package: str, revision: int, target: str, descriptor_set: bytes
) -> Checked:
    """Compare a service with a contract.

    Args:
        desk: The node's.
        package: The contract.
        revision: Its number; 0: the newest that matches, or if none does the newest.
        target: Of a gRPC server, which is asked by reflection.
        descriptor_set: In its place, if it isn't empty.

    Raises:
        SimpulError: CONTRACT_UNKNOWN; PROTOSET_INVALID; PROTOSET_LACKS_SERVICE, if none of the
            contract's services is there; CONFIG_INVALID (the target); SERVICE_UNREACHABLE and
            METHOD_UNKNOWN (its reflection).
    """
    directory = desk.directory
    card = card_of(directory, package)
    if revision > card.newest.number:
        raise SimpulError(
            Code.CONTRACT_UNKNOWN,
            f"{package} has no revision {revision}: its newest is {card.newest.number}",
        )
    if not descriptor_set:
        parse_target(target)
        descriptor_set = await reflect(target, (), service_tls(desk.home, desk.config.services))
    numbers = [revision] if revision else _newest_first(card)
    return await asyncio.to_thread(_first_match, directory, card, numbers, descriptor_set)


async def compare_target(
    target: str, descriptor_set: bytes, names: Sequence[str], tls: ServiceTls
) -> str:
    """Compare what answers at a target with what is to be published for it.

    Returns:
        Why it wasn't compared: not every server tells what it is. Empty: it matches.

    Raises:
        SimpulError: CONTRACT_DIFFERS.
    """
    try:
        shown = await reflect(target, names, tls)
        # Of megabytes, if the service says so many.
        await asyncio.to_thread(contract_pool, shown)
    except SimpulError as error:
        return error.message
    for name in names:
        found = await asyncio.to_thread(differences, descriptor_set, shown, name)
        if found:
            raise differs(
                f"what answers at {target} isn't the {name} of the descriptor set",
                found,
                "Give the address of the service that is meant, or the descriptor set that it was "
                "made from",
            )
    return ""


def _newest_first(card: CardView) -> list[int]:
    return [each.number for each in reversed(card.revisions[-MAX_MATCHED:])]


def _first_match(
    directory: DirectoryView, card: CardView, numbers: Sequence[int], shown: bytes
) -> Checked:
    contract_pool(shown)
    first: Checked | None = None
    for number in numbers:
        found = _compared(directory, card, number, shown)
        if found.count == 0:
            return found
        first = first or found
    if first is None:
        raise SimpulError(Code.INTERNAL, f"{card.package} has no revision")
    return first


def _compared(directory: DirectoryView, card: CardView, number: int, shown: bytes) -> Checked:
    services = parse_descriptor_set(shown).services
    checked = []
    for name, file in sorted(card.revisions[number - 1].services.items()):
        if not services.get(name):
            checked.append(CheckedService(name, offered=False))
            continue
        contract = directory.contracts[file].descriptor_set
        checked.append(_offered(contract, shown, name))
    if not any(each.offered for each in checked):
        known = ", ".join(sorted(services)) or "none"
        raise SimpulError(
            Code.PROTOSET_LACKS_SERVICE,
            f"no service of {card.package} is there; there are: {known}",
        )
    return Checked(number, tuple(checked))


def _offered(contract: bytes, shown: bytes, name: str) -> CheckedService:
    found, more = differences(contract, shown, name), beside(contract, shown, name)
    return CheckedService(name, offered=True, differences=found, beside=more)
