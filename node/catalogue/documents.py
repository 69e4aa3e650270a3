"""What of a contract can be searched: its names cut into words, its comments, what words mean.

Every column of names has a second one with what its words mean, so that `pulau` finds `island`. A
contract's own package and those that it brings along count; Google's and Simpul's types do not,
since every contract has them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message import DecodeError

from runtime.language.words import Concept, comment_concepts, concepts, split
from security.contract_card import CardView, Comment

# With how much a match in each counts. Of a contract's names, its comments, the words around them.
COLUMNS: Final = (
    ("title", 8.0),
    ("names", 10.0),
    ("parts", 4.0),
    ("fields", 2.0),
    ("comments", 1.0),
    ("people", 1.0),
    ("title_means", 5.0),
    ("names_means", 6.0),
    ("parts_means", 2.5),
    ("fields_means", 1.2),
    ("comments_means", 0.6),
)
TEXTS: Final = ("title", "names", "parts", "fields", "comments", "people")
MEANINGS: Final = tuple(name for name, _ in COLUMNS if name.endswith("_means"))
# Of one contract; past them its first ones are searched.
MAX_NAMES: Final = 20_000
MAX_COMMENT_WORDS: Final = 20_000
_NOT_ITS_OWN: Final = ("google.", "simpul.")


@dataclass(frozen=True, slots=True)
class Document:
    """One contract as it is searched; `texts` in the order of `COLUMNS`."""

    package: str
    maturity: int
    texts: tuple[str, ...]
    # Full names of its messages' fields.
    fields: tuple[str, ...]


def make_document(card: CardView, descriptor_set: bytes, comments: Iterable[Comment]) -> Document:
    """A contract's newest revision as it is searched."""
    names = _Names()
    for file in _files(descriptor_set):
        if not f"{file.package}.".startswith(_NOT_ITS_OWN):
            names.take(file)
    terms = card.terms
    said = "\n".join(f"{item.leading}\n{item.trailing}" for item in comments)
    services = [card.package, *names.services]
    fields = [name.rpartition(".")[2] for name in names.fields]
    texts = {
        "title": terms.title,
        "names": _words(services),
        "parts": _words(names.parts),
        "fields": _words(fields),
        "comments": said,
        "people": f"{card.owner} {terms.steward} {terms.licence}",
        "title_means": _joined(comment_concepts(terms.title, MAX_COMMENT_WORDS)),
        "names_means": _means(services),
        "parts_means": _means(names.parts),
        "fields_means": _means(fields),
        "comments_means": _joined(comment_concepts(said, MAX_COMMENT_WORDS)),
    }
    return Document(
        card.package,
        terms.maturity.value,
        tuple(texts[name] for name, _ in COLUMNS),
        tuple(names.fields),
    )


def meaning_word(concept: Concept) -> str:
    """A concept as one word of a `_means` column."""
    return concept.name.replace("_", "")


@dataclass(slots=True)
class _Names:
    """The names of a contract's files, so many of them at most."""

    services: list[str] = field(default_factory=list)
    # Of methods, messages and enums.
    parts: list[str] = field(default_factory=list)
    # Full names.
    fields: list[str] = field(default_factory=list)

    def take(self, file: FileDescriptorProto) -> None:
        prefix = f"{file.package}." if file.package else ""
        for service in file.service:
            # Of a set that isn't sound a name may be bytes.
            self.services.append(str(service.name))
            self.parts.extend(str(method.name) for method in service.method)
        for message in file.message_type:
            self._message(prefix, message)
        self._enums(file.enum_type)
        del self.services[MAX_NAMES:], self.parts[MAX_NAMES:]

    def _message(self, prefix: str, message: DescriptorProto) -> None:
        if len(self.fields) >= MAX_NAMES or message.options.map_entry:
            return
        self.parts.append(str(message.name))
        self.fields.extend(f"{prefix}{message.name}.{each.name}" for each in message.field)
        self._enums(message.enum_type)
        for nested in message.nested_type:
            self._message(f"{prefix}{message.name}.", nested)

    def _enums(self, enums: Iterable[EnumDescriptorProto]) -> None:
        for enum in enums:
            self.parts.append(str(enum.name))


def _files(descriptor_set: bytes) -> Iterable[FileDescriptorProto]:
    """The files of a set; of one that a registry should have refused, none."""
    try:
        return FileDescriptorSet.FromString(descriptor_set).file
    except DecodeError:
        return ()


def _words(names: Iterable[str]) -> str:
    """Each name as it is, and its words."""
    return " ".join(dict.fromkeys(word for name in names for word in (name, *split(name))))


def _means(names: Iterable[str]) -> str:
    return _joined(_concepts(names))


def _concepts(names: Iterable[str]) -> Iterator[Concept]:
    for name in names:
        yield from concepts(name)


def _joined(found: Iterable[Concept]) -> str:
    return " ".join(dict.fromkeys(map(meaning_word, found)))
