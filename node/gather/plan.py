"""Which parts a gather has: from what the app asked for to regions and their providers.

    simpul-region: 53.15              one region, as for a single call
    simpul-region: 53.15, 52.08      several
    simpul-region: 53.*              every region within 53 that has a provider; 53 itself is not
    simpul-region: *                 every region of the country that has one

Each region is a part. A provider that speaks for several of them is asked once. A region that is
named and that nobody answers for is a part too, which is missing from the beginning; a pattern
matches only what there is. Pure but for the snapshot it reads.

Source: docs/spec, "Gather".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from node.exchange.metadata import FIRST, PART_MS, PARTIAL, Address
from security.contract import MethodKind
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import RegionCode, SubsystemId
from security.regions import Served

# More providers than the country's regencies, provinces and ministries together.
MAX_PARTS: Final = 2048
MAX_MS: Final = 86_400_000
_ALL: Final = "*"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the app takes of a gather."""

    # Enough are so many parts that end OK; None: all.
    first: int | None = None
    # None: as long as the gather may.
    part_ms: int | None = None
    partial_ok: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A part: a region with who answers for it, or why nobody does."""

    region: str
    served: Served | None
    refusal: SimpulError | None = None

    @property
    def provider(self) -> SubsystemId | None:
        """The only one that can be asked; None where there is none, or the contract chooses."""
        if self.served is None or len(self.served.providers) != 1:
            return None
        return self.served.providers[0]


def read_terms(address: Address) -> Terms:
    """What the metadata says; raises SimpulError METADATA_MALFORMED."""
    if address.partial not in {None, "ok"}:
        raise _malformed(f"{PARTIAL} has one value, ok; send that, or leave it out")
    return Terms(
        _number(FIRST, address.first, MAX_PARTS),
        _number(PART_MS, address.part_ms, MAX_MS),
        address.partial == "ok",
    )


def plan(
    asked: Iterable[str], service: str, directory: DirectoryView, now_ms: int
) -> tuple[Planned, ...]:
    """The parts of a gather over what is asked for, in that order.

    Raises:
        SimpulError: ID_MALFORMED; GATHER_TOO_WIDE; and where nobody answers for any of it, why not
            for the first: REGION_UNKNOWN, REGION_UNSERVED.
    """
    found: dict[object, Planned] = {}
    for item in dict.fromkeys(text.strip() for text in asked):
        for planned in _of_item(item, service, directory, now_ms):
            served = planned.served
            found.setdefault(planned.region if served is None else served.providers, planned)
            if len(found) > MAX_PARTS:
                raise SimpulError(
                    Code.GATHER_TOO_WIDE,
                    f"over {MAX_PARTS} parts; gather by province, one after the other",
                )
    parts = tuple(found.values())
    if all(part.served is None for part in parts):
        raise next(
            (part.refusal for part in parts if part.refusal is not None),
            _malformed("no region is named; name some, like 53.15, 53.* or *"),
        )
    return parts


def method_kind(
    parts: Iterable[Planned], service: str, method: str, directory: DirectoryView
) -> MethodKind:
    """Which sides of the gathered method stream, by the first provider's contract that has it.

    Raises:
        SimpulError: METHOD_UNKNOWN where none has; GATHER_METHOD where it has more than one
            request, which can't be sent to many.
    """
    for provider in (one for p in parts if p.served is not None for one in p.served.providers):
        kind = directory.service(provider, service).contract.methods.get(method)
        if kind is None:
            continue
        if kind.client_streaming:
            raise SimpulError(
                Code.GATHER_METHOD,
                f"{service}/{method} takes a stream of requests; name one provider with simpul-to",
            )
        return kind
    raise SimpulError(Code.METHOD_UNKNOWN, f"nobody's {service} has a method {method}")


def _of_item(item: str, service: str, directory: DirectoryView, now_ms: int) -> Iterator[Planned]:
    if item == _ALL or item.endswith(f".{_ALL}"):
        prefix = None if item == _ALL else RegionCode.parse(item.removesuffix(f".{_ALL}"))
        matched = directory.regions.within(service, prefix, now_ms)
        if not matched:
            yield Planned(item, None, _nothing(item, service))
        yield from (Planned(str(served.region), served) for served in matched)
        return
    region = RegionCode.parse(item)
    try:
        served = directory.regions.find(service, region, now_ms)
    except SimpulError as error:
        yield Planned(item, None, error)
    else:
        yield from (Planned(str(each.region), each) for each in served)


def _nothing(pattern: str, service: str) -> SimpulError:
    return SimpulError(
        Code.REGION_UNSERVED,
        f"no region of {pattern} has a provider of {service}; see `simpul service list`",
        region=pattern,
    )


def _number(key: str, text: str | None, most: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        raise _malformed(f"{key} is a number from 1 to {most}, and {text[:20]!a} is none")
    if not 0 < int(text) <= most:
        raise _malformed(f"{key} is a number from 1 to {most}, and not {text}")
    return int(text)


def _malformed(text: str) -> SimpulError:
    return SimpulError(Code.METADATA_MALFORMED, text)
