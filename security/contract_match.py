"""Whether a service, as it describes itself, does what a revision of a contract says.

Whoever adopts a contract compiles it elsewhere, with another tool, in another language: the bytes
differ, and so do things that no caller can tell. What counts is what a message is read by, on the
wire and in JSON; the options of fields and methods don't, because what is listed for the service,
and what agreements go by, is the contract's own revision. Neither more nor less may be there: a
field that the contract doesn't have would carry what no agreement speaks of. A further *method* is
no danger: nobody can call it through the federation.

Of sets that `contract.contract_pool` has passed. Pure.

Source: docs/spec, "Contracts: a service that matches".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from security.contract import contract_pool
from security.errors import Code, SimpulError

# Of a contract's newest revisions: those that a service is compared with.
MAX_MATCHED: Final = 50
# Of differences, in a refusal; the rest is counted. Each is cut: all of them travel in headers.
MAX_SAID: Final = 10
MAX_CHARS: Final = 200
MAX_IN_MESSAGE: Final = 3
# Of a refusal's details: `difference_01`.
DIFFERENCE: Final = "difference_"

# The same everywhere.
_STANDARD: Final = "google.protobuf."
_HOLDS: Final = "holds"
_GROUP: Final = FieldDescriptorProto.TYPE_GROUP


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is otherwise than the contract says: where, and what."""

    # Full name of a method, field or enum value.
    element: str
    what: str

    def __str__(self) -> str:
        """In one line for people."""
        return f"{self.element}: {self.what}"


def differences(contract: bytes, shown: bytes, service: str) -> tuple[Difference, ...]:
    """All that a service does otherwise than the contract; empty: it matches.

    Args:
        contract: A revision's descriptor set.
        shown: What the service shows.
        service: Its full name.

    Raises:
        SimpulError: PROTOSET_LACKS_SERVICE, if one of them doesn't define it; PROTOSET_INVALID.
    """
    ours, theirs = contract_pool(contract), contract_pool(shown)
    return tuple(_Walk(ours, theirs).service(_service(ours, service), _service(theirs, service)))


def differs(what: str, found: Sequence[Difference], remedy: str) -> SimpulError:
    """The refusal of a service that doesn't match; `difference_01`… in its details are in words.

    Args:
        what: The service, and the contract that it isn't: a clause.
        found: The differences; at least one.
        remedy: What to do.
    """
    said = [str(each)[:MAX_CHARS] for each in found[:MAX_SAID]]
    more = len(found) - MAX_IN_MESSAGE
    listed = "; ".join(said[:MAX_IN_MESSAGE]) + (f"; and {more} more" if more > 0 else "")
    details = {f"{DIFFERENCE}{number:02}": each for number, each in enumerate(said, 1)}
    return SimpulError(
        Code.CONTRACT_DIFFERS, f"{what}: {listed}. {remedy}", count=str(len(found)), **details
    )


def beside(contract: bytes, shown: bytes, service: str) -> tuple[str, ...]:
    """The methods that a service has beside the contract's; raises as `differences`."""
    known = {method.name for method in _service(contract_pool(contract), service).methods}
    has = {method.name for method in _service(contract_pool(shown), service).methods}
    return tuple(sorted(has - known))


def _service(pool: DescriptorPool, name: str) -> ServiceDescriptor:
    try:
        found: ServiceDescriptor = pool.FindServiceByName(name)
    except KeyError:
        raise SimpulError(
            Code.PROTOSET_LACKS_SERVICE,
            f"the protoset doesn't define {name}: compile the file that defines it",
        ) from None
    return found


class _Walk:
    """Two sets, side by side: each type that both sides reach is compared once."""

    def __init__(self, ours: DescriptorPool, theirs: DescriptorPool) -> None:
        self._pools = ours, theirs
        self._waiting: list[tuple[Descriptor, Descriptor]] = []
        self._seen: set[str] = set()

    def service(self, ours: ServiceDescriptor, theirs: ServiceDescriptor) -> Iterator[Difference]:
        for method in ours.methods:
            other = theirs.methods_by_name.get(method.name)
            if other is None:
                yield Difference(method.full_name, "the service lacks this method")
            else:
                yield from self._method(method, other)
        while self._waiting:
            yield from self._message(*self._waiting.pop())

    def _method(self, ours: MethodDescriptor, theirs: MethodDescriptor) -> Iterator[Difference]:
        for verb, one, other, one_streams, other_streams in (
            (
                "takes", ours.input_type, theirs.input_type,
                ours.client_streaming, theirs.client_streaming,
            ),
            (
                "answers", ours.output_type, theirs.output_type,
                ours.server_streaming, theirs.server_streaming,
            ),
        ):  # fmt: skip
            by_contract = _carried(one, streams=one_streams)
            by_service = _carried(other, streams=other_streams)
            if by_contract != by_service:
                what = f"{verb} {by_service}, and by the contract {by_contract}"
                yield Difference(ours.full_name, what)
            if one.full_name == other.full_name:
                self._enter(one, other)

    def _enter(self, ours: Descriptor, theirs: Descriptor) -> None:
        if ours.full_name not in self._seen and not ours.full_name.startswith(_STANDARD):
            self._seen.add(ours.full_name)
            self._waiting.append((ours, theirs))

    def _message(self, ours: Descriptor, theirs: Descriptor) -> Iterator[Difference]:
        by_contract, by_service = (
            _fields(pool, message)
            for pool, message in zip(self._pools, (ours, theirs), strict=True)
        )
        for number, field in by_contract.items():
            other = by_service.get(number)
            if other is None:
                what = f"the service lacks this field, number {number}"
                yield Difference(_at(ours, field), what)
            else:
                yield from self._field(ours, field, other)
        for number, field in by_service.items():
            if number not in by_contract:
                what = f"the contract has no such field, number {number}"
                yield Difference(_at(ours, field), what)

    def _field(
        self, message: Descriptor, ours: FieldDescriptor, theirs: FieldDescriptor
    ) -> Iterator[Difference]:
        one, other = _facts(ours), _facts(theirs)
        differing = [name for name in one if one[name] != other[name]]
        if _HOLDS in differing:
            # Defaults and presence follow from it.
            differing = differing[: differing.index(_HOLDS) + 1]
        if differing:
            said = [f"{name} {other[name]}, and by the contract {one[name]}" for name in differing]
            yield Difference(_at(message, ours), "; ".join(said))
            return
        if ours.message_type is not None and theirs.message_type is not None:
            self._enter(ours.message_type, theirs.message_type)
        elif (
            ours.enum_type is not None
            and theirs.enum_type is not None
            and ours.enum_type.full_name not in self._seen
        ):
            self._seen.add(ours.enum_type.full_name)
            yield from _enum(ours.enum_type, theirs.enum_type)


def _enum(ours: EnumDescriptor, theirs: EnumDescriptor) -> Iterator[Difference]:
    by_contract, by_service = _values(ours), _values(theirs)
    for number in sorted(by_contract.keys() | by_service.keys()):
        one, other = by_contract.get(number, ""), by_service.get(number, "")
        if one == other:
            continue
        if not other:
            what = f"the service lacks this value, number {number}"
        elif not one:
            what = f"the contract has no such value, number {number}"
        else:
            what = f"value {number} is called {other}, and by the contract {one}"
        yield Difference(f"{ours.full_name}.{one or other}", what)


def _values(enum: EnumDescriptor) -> Mapping[int, str]:
    names: dict[int, list[str]] = {}
    for value in enum.values:
        names.setdefault(value.number, []).append(value.name)
    return {number: ", ".join(sorted(each)) for number, each in names.items()}


def _fields(pool: DescriptorPool, message: Descriptor) -> Mapping[int, FieldDescriptor]:
    """By number, with what the set itself extends the message by."""
    found = {field.number: field for field in message.fields}
    if message.extension_ranges:
        found |= {field.number: field for field in pool.FindAllExtensions(message)}
    return MappingProxyType(dict(sorted(found.items())))


def _facts(field: FieldDescriptor) -> Mapping[str, str]:
    """All of a field that its values are read by, in words."""
    return {
        "is called": field.full_name if field.is_extension else field.name,
        "is called in JSON": field.json_name,
        _HOLDS: _kind(field),
        "is there": _presence(field),
        "stands": _oneof(field),
        "is unsaid": _default(field),
    }


def _kind(field: FieldDescriptor) -> str:
    many = "many " if field.is_repeated else ""
    if field.enum_type is not None:
        return f"{many}{field.enum_type.full_name}"
    if field.message_type is None:
        kind = FieldDescriptorProto.Type.Name(field.type)  # type: ignore[arg-type] # the same numbers
        return many + kind.removeprefix("TYPE_").lower()
    if field.message_type.GetOptions().map_entry:
        return f"a map, {field.message_type.full_name}"
    # Two ways on the wire, whatever the file calls them.
    how = ", delimited" if field.type == _GROUP else ""
    return f"{many}{field.message_type.full_name}{how}"


def _presence(field: FieldDescriptor) -> str:
    if field.is_required:
        return "always"
    if field.is_repeated:
        return "any number of times"
    return "or absent" if field.has_presence else "always, its default too"


def _oneof(field: FieldDescriptor) -> str:
    # A oneof of one field is what proto3 makes of `optional`: it says that the field has presence.
    oneof = field.containing_oneof
    if oneof is None or len(oneof.fields) == 1:
        return "by itself"
    numbers = sorted(other.number for other in oneof.fields)
    return f"in a oneof of the fields {', '.join(map(str, numbers))}"


def _default(field: FieldDescriptor) -> str:
    if field.is_repeated or field.message_type is not None:
        return "empty"
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[field.default_value].name)
    return repr(field.default_value)


def _carried(message: Descriptor, *, streams: bool) -> str:
    return f"a stream of {message.full_name}" if streams else f"one {message.full_name}"


def _at(message: Descriptor, field: FieldDescriptor) -> str:
    return f"{message.full_name}.{field.name}"
