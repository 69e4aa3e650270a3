"""What a submission about a contract must pass: pure decisions over values that were read.

The numbers are those of a change's steps in `registry.rules`: 8 whose it is, 10 what it holds.
"""

from collections.abc import Callable, Sequence
from typing import Final

from registry.contracts.model import Card, KnownContract, Likeness, ListedContract
from security.contract import check_sound, parse_descriptor_set
from security.contract_breaking import breaking_changes
from security.contract_card import Maturity, package_of
from security.contract_shape import Shape, package_shape
from security.errors import Code, SimpulError
from security.identifiers import MemberId

# Of what breaks, and of what changed; the rest is counted.
MAX_SHOWN: Final = 20
# Of one member. Each is kept with its descriptor set, for ever.
MAX_OPEN: Final = 50
MAX_A_DAY: Final = 500
DAY_MS: Final = 24 * 60 * 60 * 1000

PUBLISH: Final = "publish_contract"
SET: Final = "set_contract"
COMMENT: Final = "comment_submission"


def check_owner(card: Card, member: MemberId) -> None:
    """A contract is its owner's; raises CONTRACT_OWNER."""
    if card.owner != member:
        raise SimpulError(
            Code.CONTRACT_OWNER,
            f"{card.package} is {card.owner}'s and not {member}'s: ask {card.owner}, or publish "
            "under a package of your own",
            package=card.package,
            owner=str(card.owner),
        )


def check_content(descriptor_set: bytes, package: str) -> tuple[str, ...]:
    """A sound descriptor set that defines services of the package; returns their names.

    Raises:
        SimpulError: PROTOSET_INVALID, PROTOSET_LACKS_SERVICE.
    """
    check_sound(descriptor_set)
    own = services_in(descriptor_set, package)
    if not own:
        services = parse_descriptor_set(descriptor_set).services
        known = ", ".join(sorted({package_of(name) for name in services})) or "none"
        raise SimpulError(
            Code.PROTOSET_LACKS_SERVICE,
            f"the protoset defines no service of {package} with methods; it has services of: "
            f"{known}; name the package with --package",
        )
    return own


def services_in(descriptor_set: bytes, package: str) -> tuple[str, ...]:
    """The services of a package that a set defines with methods, by name.

    Raises:
        SimpulError: PROTOSET_INVALID.
    """
    services = parse_descriptor_set(descriptor_set).services
    return tuple(
        sorted(name for name, found in services.items() if package_of(name) == package and found)
    )


def check_follows(
    package: str, follows: int, newest: int, content_of: Callable[[int], bytes]
) -> None:
    """A revision follows the newest one; raises CONFLICT, which says what changed meanwhile.

    `content_of` gives the descriptor set of a revision, by its number.
    """
    if follows == newest:
        return
    if follows > newest:
        what = f"there is no revision {follows} of {package}: the newest is {newest}"
    elif follows == 0:
        what = f"{package} is published already: its newest revision is {newest}"
    else:
        before = package_shape(content_of(follows), package)
        changed = ", ".join(changes(before, package_shape(content_of(newest), package)))
        what = f"revision {newest} of {package} came after {follows}: {changed}"
    raise SimpulError(
        Code.CONFLICT,
        f"{what}; take it into yours, and publish again",
        package=package,
        revision=str(newest),
    )


def changes(before: Shape, after: Shape) -> list[str]:
    """What differs between two shapes, by the names of definitions; never empty."""
    said = [f"{name} is new" for name in sorted(after.keys() - before.keys())]
    said += [f"{name} is gone" for name in sorted(before.keys() - after.keys())]
    said += [
        f"{name} changed"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    ]
    if not said:
        return ["nothing that is defined, only comments or terms"]
    more = len(said) - MAX_SHOWN
    return said if more <= 0 else [*said[:MAX_SHOWN], f"and {more} more"]


def check_room(package: str, *, still_open: int, lately: int) -> None:
    """A member has so many submissions at once, and makes so many in a day; raises OVERLOADED."""
    if still_open >= MAX_OPEN:
        raise SimpulError(
            Code.OVERLOADED,
            f"{still_open} submissions of this member wait for a decision: withdraw some, or wait, "
            "before the next",
            package=package,
        )
    if lately >= MAX_A_DAY:
        raise SimpulError(
            Code.OVERLOADED,
            f"this member has made {lately} submissions within a day: go on tomorrow",
            package=package,
        )


def check_breaks_nothing(package: str, before: bytes, after: bytes) -> None:
    """A revision can be read by whoever goes by the one before; raises CONTRACT_BREAKING."""
    found = breaking_changes(before, after)
    if not found:
        return
    more = len(found) - MAX_SHOWN
    listed = "; ".join(map(str, found[:MAX_SHOWN])) + (f"; and {more} more" if more > 0 else "")
    raise SimpulError(
        Code.CONTRACT_BREAKING,
        f"this revision breaks {package} in {len(found)} places: {listed}. Mend them, or publish "
        f"it as package {next_version(package)}",
        package=package,
        count=str(len(found)),
    )


def next_version(package: str) -> str:
    """`wisata.v2` after `wisata.v1`, and also after `wisata`."""
    rest, _, last = package.rpartition(".")
    if last[:1] == "v" and last[1:].isdigit():
        return f"{rest}.v{int(last[1:]) + 1}"
    return f"{package}.v2"


def of_one_line(package: str, other: str) -> bool:
    """Whether two packages are versions of one: `wisata.v1` and `wisata.v2`."""

    def stem(name: str) -> str:
        rest, _, last = name.rpartition(".")
        return rest if last[:1] == "v" and last[1:2].isdigit() else name

    return stem(package) == stem(other)


def compared_with(new: KnownContract, known: Sequence[ListedContract]) -> list[ListedContract]:
    """The contracts that a new one may be too much like: not its own, nor its owner's before."""
    return [
        item
        for item in known
        if item.package != new.package
        and not (item.owner == new.owner and of_one_line(item.package, new.package))
    ]


def check_close(package: str, likenesses: Sequence[Likeness], why_not: str) -> None:
    """One that is close to another says why that isn't adopted; raises CONTRACT_SIMILAR."""
    close = [item for item in likenesses if item.close]
    if not close or why_not:
        return
    listed = "; ".join(
        f"{item.package} of {item.owner} ({item.score:.0%}: {', '.join(item.shared[:5])}; "
        f"{len(item.users)} members implement it)"
        for item in close[:3]
    )
    raise SimpulError(
        Code.CONTRACT_SIMILAR,
        f"{package} is much like {listed}. Implement {close[0].package} as it is, or publish yours "
        "first (simpul contract publish) and say why with --why-not: an operator decides",
        package=close[0].package,
    )


def waits_because(
    kind: str,
    maturity: Maturity,
    before: Maturity | None,
    likenesses: Sequence[Likeness],
    decided_by_operators: frozenset[str],
) -> str:
    """Why an operator decides; empty where nobody needs to."""
    close = next((item.package for item in likenesses if item.close), None)
    if close is not None:
        return f"it is much like {close}"
    if maturity is Maturity.RECOMMENDED and before is not Maturity.RECOMMENDED:
        return "to recommend a contract is the federation's word"
    if kind in decided_by_operators:
        return f"an operator decides every {kind} here"
    return ""
