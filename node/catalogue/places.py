"""Who implements contracts, and which contracts somebody implements for a region, or of a class.

A region is looked up as a call's would be (docs/spec, "Calling by region"): what a search finds
for `53.15`, a call with `simpul-region: 53.15` reaches. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from security.directory import DirectoryView, MemberState, SubsystemState
from security.errors import Code, SimpulError
from security.identifiers import RegionCode, ServiceId

_ALL: Final = "*"
_MAX_CLASS_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Implementation:
    """A service of a member that implements a contract, and by which of its revisions."""

    service: ServiceId
    revision: int
    # Calls go there: neither member nor subsystem is suspended.
    active: bool


Implementations = dict[str, tuple[Implementation, ...]]


def implementations(directory: DirectoryView) -> Implementations:
    """All of a directory, by package, in the order of their names."""
    found: dict[str, list[Implementation]] = {}
    for member in directory.members.values():
        for service in member.services.values():
            card = directory.cards.of_service(service.id.service)
            revision = None if card is None else card.of_contract(service.contract.hash)
            if card is None or revision is None:
                continue
            subsystem = member.subsystems.get(service.id.subsystem)
            active = member.state is MemberState.ACTIVE and (
                subsystem is None or subsystem.state is SubsystemState.ACTIVE
            )
            made = Implementation(service.id, revision.number, active)
            found.setdefault(card.package, []).append(made)
    return {
        package: tuple(sorted(each, key=lambda made: str(made.service)))
        for package, each in found.items()
    }


def packages_where(
    directory: DirectoryView,
    known: Implementations,
    *,
    region: str,
    member_class: str,
    now_ms: int,
) -> frozenset[str] | None:
    """The contracts that one and the same member implements for a region and is of a class.

    None: neither was asked for.

    Raises:
        SimpulError: ID_MALFORMED or REGION_UNKNOWN; REQUEST_MALFORMED for a class that the
            federation hasn't.
    """
    if member_class and member_class not in directory.policy.member_classes:
        classes = ", ".join(sorted(directory.policy.member_classes))
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"the federation has no members of class {member_class[:_MAX_CLASS_CHARS]!a}: it has "
            f"{classes}",
        )
    if not region and not member_class:
        return None
    fitting = {
        made.service: package
        for package, found in known.items()
        for made in found
        if made.active and member_class in {"", made.service.subsystem.member.member_class}
    }
    if not region:
        return frozenset(fitting.values())
    served = _served(directory, region, now_ms)
    return frozenset(fitting[service] for service in served if service in fitting)


def _served(directory: DirectoryView, region: str, now_ms: int) -> Iterator[ServiceId]:
    """The services that answer for a region, or for one within it."""
    index = directory.regions
    if region == _ALL or region.endswith(f".{_ALL}"):
        prefix = None if region == _ALL else RegionCode.parse(region.removesuffix(f".{_ALL}"))
        found = index.offered_within(prefix, now_ms)
    else:
        found = index.offered(RegionCode.parse(region), now_ms)
    for service, providers in found.items():
        yield from (ServiceId(provider, service) for provider in providers)
