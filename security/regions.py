"""Who offers a service for a region, and who answers where the region itself has nobody.

A region is looked up in this order; the first step that finds somebody decides:

1. The region itself: whoever speaks for it now and offers the service.
2. What took its place, where nobody speaks for it any more: its successors, and theirs.
3. What it took the place of, where that still offers the service: its predecessors, and theirs.
4. The nearest region around it (kecamatan, kabupaten, provinsi, and `00` for the whole country)
   whose provider's contract says that it answers for the regions within. Of a region's province
   the directory must know something: a code that nobody has heard of is refused.

A contract may be for some regions only: then a region that isn't one of them, nor within one, nor
took the place of such a one, has nobody, whoever speaks for it.

A step may find several regions: a region that was split has several successors. A call needs one
(`one`), a gather takes them all. A region may have several providers: the contract says whether
they may stand in for each other, and in which order they are asked (`in_order`).

Each look-up costs a few look-ups by key, however many members there are. It decides nothing about
agreements.

Source: docs/spec, "Calling by region"; simpul/v1/annotations.proto, `RegionRules`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final, Protocol

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode, SubsystemId
from simpul.v1 import annotations_pb2

# Speaks for the whole country.
NATION: Final = RegionCode("00")
# Of one lineage; the real ones have a handful.
MAX_LINEAGE: Final = 256
# Of a contract's regions, in a message.
_MAX_NAMED: Final = 8
# No service's contract is for some regions only.
_ANYWHERE: Final[Mapping[str, tuple[RegionCode, ...]]] = MappingProxyType({})
# After the last of any code that begins like it: digits and dots sort before it.
_PAST: Final = "~"


class Choice(IntEnum):
    """Which of several providers of one region is asked; as `simpul.v1.ProviderChoice`.

    The lower of two is the stricter.
    """

    ONE = 1
    ORDERED = 2
    ROUND_ROBIN = 3
    NEAREST = 4


@dataclass(frozen=True, slots=True)
class RegionRules:
    """What a contract says of calls by region; unsaid, it allows nothing beyond the plain case."""

    # Answers for the regions within its own, too.
    enclosing: bool = False
    choice: Choice = Choice.ONE

    def to_proto(self) -> annotations_pb2.RegionRules:
        """As a contract's card carries it."""
        choice = annotations_pb2.ProviderChoice.ValueType(self.choice.value)
        return annotations_pb2.RegionRules(enclosing=self.enclosing, choice=choice)


class Contract(Protocol):
    """What is asked of a contract (`directory_records.ContractView`)."""

    @property
    def region_rules(self) -> RegionRules:
        """What it says of calls by region."""
        ...


class Span(Protocol):
    """A region that a member speaks for (`directory_records.RegionView`)."""

    @property
    def code(self) -> RegionCode:
        """Its code."""
        ...

    @property
    def predecessors(self) -> tuple[RegionCode, ...]:
        """What it took the place of."""
        ...

    @property
    def successors(self) -> tuple[RegionCode, ...]:
        """What took its place."""
        ...

    def is_valid(self, now_ms: int) -> bool:
        """Whether the member speaks for it now."""
        ...


@dataclass(frozen=True, slots=True)
class Speaker:
    """A member with its regions, and the services it offers: by full name, where and by what.

    One that is not `active` offers nothing, and its regions are known all the same.
    """

    member: MemberId
    active: bool
    regions: tuple[Span, ...]
    services: tuple[tuple[str, SubsystemId, Contract], ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A subsystem that offers some service for some region."""

    subsystem: SubsystemId
    region: Span
    contract: Contract


@dataclass(frozen=True, slots=True)
class Served:
    """A region that answers, and the subsystems that do so, in the order of their names."""

    region: RegionCode
    providers: tuple[SubsystemId, ...]
    choice: Choice


class RegionIndex:
    """Made once for each version of the directory; never changes."""

    def __init__(
        self, speakers: Iterable[Speaker], scopes: Mapping[str, tuple[RegionCode, ...]] = _ANYWHERE
    ) -> None:
        """`scopes`: by service, the regions that its contract is for, where it isn't for all."""
        self._scopes = scopes
        offers: dict[tuple[str, RegionCode], list[Offer]] = {}
        self._spans: dict[RegionCode, list[Span]] = {}
        self._after: dict[RegionCode, dict[RegionCode, None]] = {}
        self._before: dict[RegionCode, dict[RegionCode, None]] = {}
        self._of_member: dict[MemberId, tuple[Span, ...]] = {}
        for speaker in speakers:
            self._of_member[speaker.member] = speaker.regions
            for span in speaker.regions:
                self._take(span)
                if speaker.active:
                    for name, subsystem, contract in speaker.services:
                        offer = Offer(subsystem, span, contract)
                        offers.setdefault((name, span.code), []).append(offer)
        self._offers: Mapping[tuple[str, RegionCode], tuple[Offer, ...]] = {
            key: tuple(sorted(found, key=lambda offer: str(offer.subsystem)))
            for key, found in offers.items()
        }
        self._codes = _by_service(self._offers)
        self._offered = _by_region(self._offers)
        self._provinces = {code.text[:2] for code in self._spans}

    def exact(self, service: str, region: RegionCode, now_ms: int) -> tuple[SubsystemId, ...]:
        """The subsystems that offer a service for just this region now; none is no error."""
        return _subsystems(self._valid(service, region, now_ms))

    def find(self, service: str, region: RegionCode, now_ms: int) -> tuple[Served, ...]:
        """The regions that answer for `region`; more than one where it was split.

        Raises:
            SimpulError: REGION_UNKNOWN where the directory knows nothing of it; REGION_UNSERVED
                where nobody offers the service for it, or its contract isn't for it.
        """
        if not self._in_scope(service, region):
            raise self._out_of_scope(service, region)
        found = self._served(service, (region,), now_ms)
        if found:
            return found
        heirs = () if self._lives(region, now_ms) else self._heirs(region, now_ms)
        found = self._served(service, heirs, now_ms)
        found = found or self._served(service, self._line(region, self._before), now_ms)
        if not found and self._is_known(region):
            # Nobody answers for what nobody has heard of: a mistyped code must not go astray.
            found = self._around(service, heirs or (region,), now_ms)
        if not found:
            raise self._nobody(service, region)
        return found

    def one(self, service: str, region: RegionCode, now_ms: int) -> Served:
        """The region that answers for `region`.

        Raises:
            SimpulError: As `find`; REGION_AMBIGUOUS where it was split and several answer.
        """
        found = self.find(service, region, now_ms)
        if len(found) > 1:
            names = ", ".join(str(served.region) for served in found)
            raise SimpulError(
                Code.REGION_AMBIGUOUS,
                f"{region} is no longer one region: call {names}, one of them or all in a gather",
                region=str(region),
            )
        return found[0]

    def within(self, service: str, prefix: RegionCode | None, now_ms: int) -> tuple[Served, ...]:
        """All regions within `prefix`, itself not, that have a provider; of the country with None.

        In the order of their codes; none is no error.
        """
        codes = self._codes.get(service, ())
        first, last = 0, len(codes)
        if prefix is not None:
            first = bisect_left(codes, f"{prefix}.")
            last = bisect_left(codes, f"{prefix}.{_PAST}")
        regions = map(RegionCode, codes[first:last])
        return self._served(
            service, (each for each in regions if self._in_scope(service, each)), now_ms
        )

    def offered(self, region: RegionCode, now_ms: int) -> dict[str, tuple[SubsystemId, ...]]:
        """Each service that `find` finds somebody of for `region`, with whom it finds.

        Raises:
            SimpulError: REGION_UNKNOWN.
        """
        if not self._is_known(region):
            raise self._nobody("any service", region)
        heirs = self._heirs(region, now_ms)
        near = {region, *heirs, *self._line(region, self._before)}
        around = {outer for code in (region, *heirs) for outer in enclosing(code)}
        names = dict.fromkeys(
            name for code in near | around for name in self._offered.get(code, ())
        )
        found: dict[str, tuple[SubsystemId, ...]] = {}
        for name in names:
            with suppress(SimpulError):
                served = self.find(name, region, now_ms)
                found[name] = tuple(each for one in served for each in one.providers)
        return found

    def offered_within(
        self, prefix: RegionCode | None, now_ms: int
    ) -> dict[str, tuple[SubsystemId, ...]]:
        """Each service that `within` finds somebody of, with whom it finds."""
        found: dict[str, dict[SubsystemId, None]] = {}
        for region, names in self._offered.items():
            if prefix is not None and not region.text.startswith(f"{prefix}."):
                continue
            for name in names:
                if not self._in_scope(name, region):
                    continue
                for offer in self._valid(name, region, now_ms):
                    found.setdefault(name, {})[offer.subsystem] = None
        return {name: tuple(subsystems) for name, subsystems in found.items()}

    def nearness(self, one: MemberId, other: MemberId, now_ms: int) -> int:
        """How much of their region codes two members share: 4 for a village, 0 for nothing."""
        pairs = (
            _shared(mine.code, theirs.code)
            for mine in self._of_member.get(one, ())
            if mine.is_valid(now_ms)
            for theirs in self._of_member.get(other, ())
            if theirs.is_valid(now_ms)
        )
        return max(pairs, default=0)

    def codes_of(self, member: MemberId, now_ms: int) -> tuple[RegionCode, ...]:
        """The regions that a member speaks for now."""
        return tuple(s.code for s in self._of_member.get(member, ()) if s.is_valid(now_ms))

    def _take(self, span: Span) -> None:
        self._spans.setdefault(span.code, []).append(span)
        # Either side may have said it.
        for heir in span.successors:
            self._after.setdefault(span.code, {})[heir] = None
            self._before.setdefault(heir, {})[span.code] = None
        for past in span.predecessors:
            self._before.setdefault(span.code, {})[past] = None
            self._after.setdefault(past, {})[span.code] = None

    def _valid(self, service: str, region: RegionCode, now_ms: int) -> tuple[Offer, ...]:
        offers = self._offers.get((service, region), ())
        return tuple(offer for offer in offers if offer.region.is_valid(now_ms))

    def _served(
        self, service: str, regions: Iterable[RegionCode], now_ms: int
    ) -> tuple[Served, ...]:
        pairs = ((region, self._valid(service, region, now_ms)) for region in regions)
        return tuple(_as_served(region, offers) for region, offers in pairs if offers)

    def _around(
        self, service: str, regions: Iterable[RegionCode], now_ms: int
    ) -> tuple[Served, ...]:
        found: dict[RegionCode, Served] = {}
        for region in regions:
            for outer in enclosing(region):
                offers = self._valid(service, outer, now_ms)
                willing = [offer for offer in offers if offer.contract.region_rules.enclosing]
                if willing:
                    found[outer] = _as_served(outer, willing)
                    break
        return tuple(found.values())

    def _lives(self, region: RegionCode, now_ms: int) -> bool:
        return any(span.is_valid(now_ms) for span in self._spans.get(region, ()))

    def _heirs(self, region: RegionCode, now_ms: int) -> tuple[RegionCode, ...]:
        """What took a region's place and lives; what took the place of those that don't."""
        line = self._line(region, self._after, until=lambda code: self._lives(code, now_ms))
        return tuple(code for code in line if self._lives(code, now_ms))

    def _line(
        self,
        region: RegionCode,
        edges: Mapping[RegionCode, Iterable[RegionCode]],
        until: Callable[[RegionCode], bool] = lambda _: False,
    ) -> tuple[RegionCode, ...]:
        """All that follows from a region, the nearest first; circles are walked once."""
        seen: dict[RegionCode, None] = {}
        waiting = list(edges.get(region, ()))
        for code in waiting:
            if code == region or code in seen or len(seen) == MAX_LINEAGE:
                continue
            seen[code] = None
            if not until(code):
                waiting.extend(edges.get(code, ()))
        return tuple(seen)

    def _in_scope(self, service: str, region: RegionCode) -> bool:
        """Whether the service's contract is for a region, or for what it took the place of."""
        scope = self._scopes.get(service)
        if scope is None:
            return True
        line = (region, *self._line(region, self._before))
        return any(code in scope for each in line for code in (each, *enclosing(each)))

    def _is_known(self, region: RegionCode) -> bool:
        return self._is_named(region) or region.text[:2] in self._provinces

    def _is_named(self, region: RegionCode) -> bool:
        return region in self._spans or region in self._after or region in self._before

    def _out_of_scope(self, service: str, region: RegionCode) -> SimpulError:
        if not self._is_known(region):
            return self._nobody(service, region)
        named = ", ".join(str(each) for each in self._scopes[service][:_MAX_NAMED])
        return SimpulError(
            Code.REGION_UNSERVED,
            f"the contract of {service} is for {named} and the regions within; search for another "
            f"for {region} (simpul catalogue search), or name a provider with simpul-to",
            region=str(region),
        )

    def _nobody(self, service: str, region: RegionCode) -> SimpulError:
        if not self._is_known(region):
            return SimpulError(
                Code.REGION_UNKNOWN,
                f"the directory knows no region {region}, nor any around it; check the code, or "
                "name the provider with simpul-to",
                region=str(region),
            )
        speaks = "" if self._is_named(region) else f"; no member speaks for {region}"
        return SimpulError(
            Code.REGION_UNSERVED,
            f"nobody offers {service} for region {region}{speaks}; see `simpul service list`, or "
            "name a provider with simpul-to",
            region=str(region),
        )


def in_order(
    index: RegionIndex,
    served: Served,
    *,
    service: str,
    consumer: MemberId,
    turn: int,
    now_ms: int,
) -> tuple[SubsystemId, ...]:
    """The providers of a region in the order in which they are to be asked.

    `turn`: how many such calls there were before.

    Raises:
        SimpulError: REGION_AMBIGUOUS: there are several, and the contract lets none stand in.
    """
    providers = served.providers
    if len(providers) == 1:
        return providers
    match served.choice:
        case Choice.ORDERED:
            return providers
        case Choice.ROUND_ROBIN:
            first = turn % len(providers)
            return (*providers[first:], *providers[:first])
        case Choice.NEAREST:
            near = {each: index.nearness(consumer, each.member, now_ms) for each in providers}
            return tuple(sorted(providers, key=lambda each: -near[each]))
        case _:
            names = " and ".join(map(str, providers))
            raise SimpulError(
                Code.REGION_AMBIGUOUS,
                f"{names} offer {service} for region {served.region}, and its contract lets none "
                "stand in for another: name one with simpul-to",
                region=str(served.region),
            )


def enclosing(region: RegionCode) -> Iterator[RegionCode]:
    """The regions around one, the nearest first, and the country last."""
    parts = region.text.split(".")
    for count in range(len(parts) - 1, 0, -1):
        yield RegionCode(".".join(parts[:count]))
    if region != NATION:
        yield NATION


def read_region_rules(descriptor_set: bytes, service: str) -> RegionRules:
    """What a contract says of calls by region, the default where it says nothing."""
    try:
        files = FileDescriptorSet.FromString(descriptor_set).file
    except DecodeError:
        return RegionRules()
    for file in files:
        for item in file.service:
            name = f"{file.package}.{item.name}" if file.package else item.name
            if name == service:
                said = item.options.Extensions[annotations_pb2.regions]
                known = {choice.value for choice in Choice}
                choice = Choice(said.choice) if said.choice in known else Choice.ONE
                return RegionRules(said.enclosing, choice)
    return RegionRules()


def _as_served(region: RegionCode, offers: Iterable[Offer]) -> Served:
    offers = tuple(offers)
    # They may implement different revisions: the strictest word holds.
    choice = min(offer.contract.region_rules.choice for offer in offers)
    return Served(region, _subsystems(offers), choice)


def _subsystems(offers: Iterable[Offer]) -> tuple[SubsystemId, ...]:
    # Once each, though a member may have spoken for the region more than once.
    return tuple(dict.fromkeys(offer.subsystem for offer in offers))


def _by_service(keys: Iterable[tuple[str, RegionCode]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for service, region in keys:
        found.setdefault(service, []).append(region.text)
    return {service: tuple(sorted(codes)) for service, codes in found.items()}


def _by_region(keys: Iterable[tuple[str, RegionCode]]) -> Mapping[RegionCode, tuple[str, ...]]:
    found: dict[RegionCode, list[str]] = {}
    for service, region in keys:
        found.setdefault(region, []).append(service)
    return {region: tuple(services) for region, services in found.items()}


def _shared(one: RegionCode, other: RegionCode) -> int:
    count = 0
    for mine, theirs in zip(one.text.split("."), other.text.split("."), strict=False):
        if mine != theirs:
            break
        count += 1
    return count
