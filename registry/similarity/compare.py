"""How alike two contracts are, and what they share.

Four measures from 0 to 1, each of which a person can follow:

    subject   the names of services and methods mean the same
    words     all names and comments together do
    fields    the messages' fields match one another, by meaning and type
    methods   the methods match one another, by meaning, streaming kind and what they carry

The likeness is their weighted mean. The weights and the threshold stand on a labelled set of pairs
(`python -m bench.duplicates`; docs/adr/0022). What is shared is told as pairs of names, so that a
publisher sees why, and can say why not.

Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final, TypeVar

from rapidfuzz.distance import Indel

from registry.similarity.features import Features, Field, Message, Method
from runtime.language.words import Concept

# Close enough that a publisher must say why it doesn't adopt the other.
THRESHOLD: Final = 0.4


@dataclass(frozen=True, slots=True)
class Weights:
    """What each measure counts; they add up to 1."""

    subject: float
    words: float
    fields: float
    methods: float


WEIGHTS: Final = Weights(subject=0.45, words=0.25, fields=0.2, methods=0.1)


@dataclass(frozen=True, slots=True)
class Measures:
    """The four measures of two contracts."""

    subject: float
    words: float
    fields: float
    methods: float

    def likeness(self, weights: Weights = WEIGHTS) -> float:
        """From 0 to 1."""
        return (
            self.subject * weights.subject
            + self.words * weights.words
            + self.fields * weights.fields
            + self.methods * weights.methods
        )


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two contracts are, and the pairs of names that match: the new one's first."""

    measures: Measures
    methods: tuple[tuple[str, str], ...]
    messages: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, str], ...]

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.measures.likeness()


# Two names match from here on.
_MATCH: Final = 0.5
# Words that the glossary lacks are alike from here on; below, they are taken for different ones.
_SPELT_ALIKE: Final = 0.8
_OTHER_KIND: Final = 0.7
# People write dates, numbers and choices as text, too.
_TEXT_FOR_IT: Final = 0.9

_MESSAGE_NAME: Final = 0.3
_MESSAGE_SHAPE: Final = 0.2
_METHOD_NAME: Final = 0.5
_METHOD_STREAMING: Final = 0.2

_Item = TypeVar("_Item")


def compare(new: Features, other: Features) -> Likeness:
    """How alike two contracts are."""
    message_pairs = _match(new.messages, other.messages, message_likeness)
    message_likenesses = {(one.name, two.name): likeness for one, two, likeness in message_pairs}

    def method_likeness(one: Method, two: Method) -> float:
        carried = max(
            message_likenesses.get((one.response, two.response), 0.0),
            message_likenesses.get((one.request, two.request), 0.0),
        )
        streaming = 1.0 if one.streaming == two.streaming else 0.0
        return (
            name_likeness(one.concepts, two.concepts) * _METHOD_NAME
            + streaming * _METHOD_STREAMING
            + carried * (1 - _METHOD_NAME - _METHOD_STREAMING)
        )

    method_pairs = _match(new.methods, other.methods, method_likeness)
    fields = _distinct(new.messages), _distinct(other.messages)
    field_pairs = _match(fields[0], fields[1], field_likeness)
    return Likeness(
        measures=Measures(
            subject=_cosine(new.subject, other.subject),
            words=_cosine(new.topic, other.topic),
            fields=_dice(field_pairs, *fields, _field_weight),
            methods=_dice(method_pairs, new.methods, other.methods, _one),
        ),
        methods=tuple((one.name, two.name) for one, two, _ in method_pairs),
        messages=tuple((one.name, two.name) for one, two, _ in message_pairs),
        fields=tuple((one.name, two.name) for one, two, _ in field_pairs),
    )


def name_likeness(one: Sequence[Concept], two: Sequence[Concept]) -> float:
    """How much of two names' weight they share; words without a meaning, by their letters."""
    whole = sum(each.weight for each in one) + sum(each.weight for each in two)
    if whole == 0:
        return 0.0
    named = {each.name for each in two}
    shared = sum(2 * each.weight for each in one if each.name in named)
    rest = [each for each in two if not each.is_known and each not in one]
    for each in one:
        if not each.is_known and each.name not in named and rest:
            alike = max(
                Indel.normalized_similarity(each.name, it.name, score_cutoff=_SPELT_ALIKE)
                for it in rest
            )
            shared += 2 * each.weight * alike
    return min(1.0, shared / whole)


def field_likeness(one: Field, two: Field) -> float:
    """How alike two fields are: by name, less where their types or counts differ."""
    name = name_likeness(one.concepts, two.concepts)
    if name < _MATCH:
        return 0.0
    if one.kind == two.kind:
        kind = 1.0
    else:
        kind = _TEXT_FOR_IT if "s" in (one.kind, two.kind) else _OTHER_KIND
    return name * kind * (1.0 if one.repeated == two.repeated else _TEXT_FOR_IT)


def message_likeness(one: Message, two: Message) -> float:
    """How alike two messages are: by name, by fields, and by their fields' types in order."""
    pairs = _match(one.fields, two.fields, field_likeness)
    fields = _dice(pairs, one.fields, two.fields, _field_weight)
    shape = Indel.normalized_similarity(one.shape, two.shape) if one.shape and two.shape else 0.0
    return (
        name_likeness(one.concepts, two.concepts) * _MESSAGE_NAME
        + shape * _MESSAGE_SHAPE
        + fields * (1 - _MESSAGE_NAME - _MESSAGE_SHAPE)
    )


def _match(
    ones: Sequence[_Item], twos: Sequence[_Item], likeness: Callable[[_Item, _Item], float]
) -> list[tuple[_Item, _Item, float]]:
    """The pairs that match, each item in one at most: the most alike first, then by order."""
    found = [
        (value, -i, -j)
        for i, one in enumerate(ones)
        for j, two in enumerate(twos)
        if (value := likeness(one, two)) >= _MATCH
    ]
    found.sort(reverse=True)
    taken_ones: set[int] = set()
    taken_twos: set[int] = set()
    pairs = []
    for value, i, j in found:
        if i not in taken_ones and j not in taken_twos:
            taken_ones.add(i)
            taken_twos.add(j)
            pairs.append((ones[-i], twos[-j], value))
    return pairs


def _dice(
    pairs: Iterable[tuple[_Item, _Item, float]],
    ones: Iterable[_Item],
    twos: Iterable[_Item],
    weight: Callable[[_Item], float],
) -> float:
    """What is matched, of all that both have."""
    whole = sum(map(weight, ones)) + sum(map(weight, twos))
    if whole == 0:
        return 0.0
    return sum(value * (weight(one) + weight(two)) for one, two, value in pairs) / whole


def _distinct(messages: Iterable[Message]) -> list[Field]:
    """The fields of all messages, those of one meaning once: nesting is a matter of taste."""
    found: dict[tuple[Concept, ...], Field] = {}
    for message in messages:
        for field in message.fields:
            if field.concepts and field.kind != "m":
                found.setdefault(field.concepts, field)
    return list(found.values())


def _field_weight(field: Field) -> float:
    return max((each.weight for each in field.concepts), default=0.0)


def _one(_: Method) -> float:
    return 1.0


def _cosine(one: Mapping[str, float], two: Mapping[str, float]) -> float:
    shared = sum(weight * two[name] for name, weight in one.items() if name in two)
    if shared == 0:
        return 0.0
    sizes = sum(x * x for x in one.values()) * sum(x * x for x in two.values())
    return min(1.0, shared / sqrt(sizes))
