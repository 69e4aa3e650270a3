"""A contract's card and its documentation: whose it is, how mature, what its comments say.

    contracts/<package>/card            ContractCard
    contracts/<package>/docs-<number>   ContractDocumentation of one revision

A contract is a package. A revision of it is one file for each of its services (`ContractRevision`,
in `directory_records`), and those never change; what may change while they stay is here. Each file
is judged by itself and by its path (step 3 of `directory`), and then whether what a card names is
there (step 8).

It decides nothing about who may publish: the registry does.

Source: docs/spec, "Contracts: cards"; protos/simpul/v1/directory.proto.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from security import strict
from security.directory_records import (
    CONTRACTS_FOLDER,
    FORMAT_VERSION,
    ContractView,
    Files,
    refused,
)
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES
from security.identifiers import MemberId, RegionCode, check_service_name
from security.regions import Choice, RegionRules
from security.statement import MAX_TIME_MS
from simpul.v1 import directory_pb2

MAX_CARD_BYTES: Final = 256 * 1024
MAX_DOCUMENTATION_BYTES: Final = 512 * 1024
MAX_REVISIONS: Final = 1000
MAX_TERM_CHARS: Final = 256
MAX_TERM_REGIONS: Final = 1000
MAX_RULES: Final = 1000

CARD: Final = "card"
_DOCS: Final = re.compile(r"docs-([1-9][0-9]{0,8})")


class Maturity(IntEnum):
    """How far a contract may be relied on; as `simpul.v1.ContractMaturity`."""

    DRAFT = 1
    TRIAL = 2
    RECOMMENDED = 3
    RETIRED = 4

    @property
    def word(self) -> str:
        """As people write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class ContractTermsView:
    """What a contract's owner says of it."""

    title: str = ""
    steward: str = ""
    maturity: Maturity = Maturity.DRAFT
    # None: it is meant for everybody.
    regions: tuple[RegionCode, ...] = ()
    licence: str = ""
    successor: str = ""
    # By service; one without goes by its own options.
    rules: Mapping[str, RegionRules] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RevisionView:
    """A revision, as its card lists it."""

    number: int
    publisher: MemberId
    published_at_ms: int
    # SHA-256 of the contract's target file, by service.
    services: Mapping[str, bytes]
    # SHA-256 of its documentation's target file; None: it has no comments.
    documentation: bytes | None


@dataclass(frozen=True, slots=True)
class CardView:
    """A contract's card; `revisions[n - 1]` is revision n."""

    package: str
    number: int
    owner: MemberId
    terms: ContractTermsView
    revisions: tuple[RevisionView, ...]

    @property
    def newest(self) -> RevisionView:
        """The last revision."""
        return self.revisions[-1]

    def of_contract(self, contract: bytes) -> RevisionView | None:
        """The revision that a service goes by, by its contract's hash: the newest such."""
        found = (item for item in reversed(self.revisions) if contract in item.services.values())
        return next(found, None)


@dataclass(frozen=True, slots=True)
class Comment:
    """What stands at an element of a .proto file, above it and behind it."""

    element: str
    leading: str = ""
    trailing: str = ""


@dataclass(frozen=True, slots=True)
class DocumentationView:
    """The comments of a revision, by full name of what they are about."""

    package: str
    revision: int
    comments: tuple[Comment, ...]


@dataclass(frozen=True, slots=True)
class Cards:
    """All cards and documentation of a directory, and each file by its path and hash."""

    by_package: Mapping[str, CardView] = field(default_factory=dict)
    # By the SHA-256 of the target file.
    documentation: Mapping[bytes, DocumentationView] = field(default_factory=dict)
    files: Mapping[tuple[str, bytes], CardView | DocumentationView] = field(
        default_factory=dict, repr=False
    )

    def of_service(self, service: str) -> CardView | None:
        """The card of the contract that a service is of."""
        return self.by_package.get(package_of(service))

    @property
    def scopes(self) -> Mapping[str, tuple[RegionCode, ...]]:
        """The regions that contracts are for, by service, of those that aren't for all."""
        return MappingProxyType(
            {
                service: card.terms.regions
                for card in self.by_package.values()
                if card.terms.regions
                for revision in card.revisions
                for service in revision.services
            }
        )

    def rules(self, service: str) -> RegionRules | None:
        """What a card says of calls by region; None: the service's own options say it."""
        card = self.of_service(service)
        return None if card is None else card.terms.rules.get(service)


def package_of(service: str) -> str:
    """`wisata.v1` for `wisata.v1.Wisata`: the contract that a service is of."""
    return service.rpartition(".")[0]


def check_package(package: str) -> None:
    """Pass a package's full name; raises SimpulError ID_MALFORMED."""
    check_service_name(f"{package}.X")


def card_path(package: str) -> str:
    """The path of a contract's card."""
    return f"{CONTRACTS_FOLDER}/{package}/{CARD}"


def documentation_path(package: str, revision: int) -> str:
    """The path of a revision's documentation."""
    return f"{CONTRACTS_FOLDER}/{package}/docs-{revision}"


def is_card_path(path: str) -> bool:
    """Whether a path below `contracts/` is a card's or a documentation's."""
    last = path.rpartition("/")[2]
    return last == CARD or _DOCS.fullmatch(last) is not None


def read_cards(
    federation: str,
    shown: Files,
    paths: Iterable[str],
    contracts: Mapping[bytes, ContractView],
    known: Cards | None,
) -> Cards:
    """Read all cards and documentation; of `known`, files that are the same aren't parsed again.

    Raises:
        SimpulError: DIRECTORY_UNTRUSTED (steps 3 and 8).
    """
    by_package: dict[str, CardView] = {}
    documentation: dict[bytes, DocumentationView] = {}
    files: dict[tuple[str, bytes], CardView | DocumentationView] = {}
    for path in paths:
        key = (path, shown.digest(path))
        found = None if known is None else known.files.get(key)
        found = found or _parse_file(federation, path, shown.read(path))
        files[key] = found
        if isinstance(found, CardView):
            by_package[found.package] = found
        else:
            documentation[key[1]] = found
    for card in by_package.values():
        _check_references(card, contracts, documentation)
    return Cards(
        MappingProxyType(by_package), MappingProxyType(documentation), MappingProxyType(files)
    )


def parse_card(federation: str, path: str, data: bytes) -> CardView:
    """Read a card; raises SimpulError DIRECTORY_UNTRUSTED (step 3)."""
    try:
        message = strict.parse(directory_pb2.ContractCard, data, MAX_CARD_BYTES)
        if message.version != FORMAT_VERSION or message.federation != federation:
            raise _bad("its version or federation is another")
        check_package(message.package)
        if path != card_path(message.package):
            raise _bad("it is another contract's")
        if message.number == 0:
            raise _bad("its number is missing")
        return CardView(
            package=message.package,
            number=message.number,
            owner=MemberId.parse(message.owner),
            terms=read_terms(message.terms, message.package),
            revisions=tuple(_read_revisions(message)),
        )
    except SimpulError as error:
        raise refused(3, path, error.message) from None


def parse_documentation(federation: str, path: str, data: bytes) -> DocumentationView:
    """Read a revision's comments; raises SimpulError DIRECTORY_UNTRUSTED (step 3)."""
    try:
        message = strict.parse(directory_pb2.ContractDocumentation, data, MAX_DOCUMENTATION_BYTES)
        if message.version != FORMAT_VERSION or message.federation != federation:
            raise _bad("its version or federation is another")
        check_package(message.package)
        if path != documentation_path(message.package, message.revision):
            raise _bad("it is another revision's")
        names = [item.element for item in message.comments]
        if names != sorted(set(names)):
            raise _bad("its comments aren't in order")
    except SimpulError as error:
        raise refused(3, path, error.message) from None
    comments = (Comment(item.element, item.leading, item.trailing) for item in message.comments)
    return DocumentationView(message.package, message.revision, tuple(comments))


def read_terms(message: directory_pb2.ContractTerms, package: str) -> ContractTermsView:
    """Read a contract's terms.

    Raises:
        SimpulError: CHANGE_INVALID, ID_MALFORMED.
    """
    for name in ("title", "steward", "licence"):
        check_term(name, getattr(message, name))
    try:
        maturity = Maturity(message.maturity)
    except ValueError:
        raise _bad("its maturity is none") from None
    regions = tuple(map(RegionCode.parse, message.regions))
    if len(set(regions)) != len(regions) or len(regions) > MAX_TERM_REGIONS:
        raise _bad(f"it names a region twice, or over {MAX_TERM_REGIONS}")
    if message.successor:
        check_package(message.successor)
        if message.successor == package:
            raise _bad("it is its own successor")
    return ContractTermsView(
        title=message.title,
        steward=message.steward,
        maturity=maturity,
        regions=regions,
        licence=message.licence,
        successor=message.successor,
        rules=_read_rules(message, package),
    )


def terms_message(terms: ContractTermsView) -> directory_pb2.ContractTerms:
    """Write terms as `read_terms` reads them."""
    return directory_pb2.ContractTerms(
        title=terms.title,
        steward=terms.steward,
        maturity=terms.maturity.value,  # type: ignore[arg-type]  # the numbers are the enum's
        regions=map(str, terms.regions),
        licence=terms.licence,
        successor=terms.successor,
        rules=[
            directory_pb2.ServiceRules(service=service, regions=rules.to_proto())
            for service, rules in sorted(terms.rules.items())
        ],
    )


def check_term(name: str, text: str) -> None:
    """Pass one line of text for people, or none; raises SimpulError CHANGE_INVALID."""
    if len(text) > MAX_TERM_CHARS or not text.isprintable():
        raise _bad(f"its {name} has over {MAX_TERM_CHARS} characters, or some that don't print")


def _parse_file(federation: str, path: str, data: bytes) -> CardView | DocumentationView:
    if path.endswith(f"/{CARD}"):
        return parse_card(federation, path, data)
    return parse_documentation(federation, path, data)


def _read_revisions(message: directory_pb2.ContractCard) -> Iterator[RevisionView]:
    if not 0 < len(message.revisions) <= MAX_REVISIONS:
        raise _bad(f"it has no revision, or over {MAX_REVISIONS}")
    for expected, item in enumerate(message.revisions, 1):
        services = {service.service: service.contract for service in item.services}
        if item.number != expected or not 0 < item.published_at_ms <= MAX_TIME_MS:
            raise _bad(f"its revision {expected} has another number, or no time")
        if len(services) == 0 or len(services) != len(item.services):
            raise _bad(f"its revision {expected} has no service, or one twice")
        for service, contract in services.items():
            check_service_name(service)
            if package_of(service) != message.package or len(contract) != HASH_BYTES:
                raise _bad(f"{service[:200]!a} isn't of its package, or has no contract")
        if len(item.documentation) not in (0, HASH_BYTES):
            raise _bad(f"its revision {expected} has a documentation that is none")
        yield RevisionView(
            number=item.number,
            publisher=MemberId.parse(item.publisher),
            published_at_ms=item.published_at_ms,
            services=MappingProxyType(services),
            documentation=item.documentation or None,
        )


def _read_rules(message: directory_pb2.ContractTerms, package: str) -> Mapping[str, RegionRules]:
    rules: dict[str, RegionRules] = {}
    for item in message.rules:
        check_service_name(item.service)
        if package_of(item.service) != package or item.service in rules:
            raise _bad(f"it has rules twice, or of another's service: {item.service[:200]!a}")
        if item.regions.choice not in {choice.value for choice in Choice}:
            raise _bad(f"the rules of {item.service} choose in a way that is none")
        rules[item.service] = RegionRules(item.regions.enclosing, Choice(item.regions.choice))
    if len(rules) > MAX_RULES:
        raise _bad(f"it has over {MAX_RULES} rules")
    return MappingProxyType(rules)


def _check_references(
    card: CardView,
    contracts: Mapping[bytes, ContractView],
    documentation: Mapping[bytes, DocumentationView],
) -> None:
    path = card_path(card.package)
    for revision in card.revisions:
        for service, contract in revision.services.items():
            found = contracts.get(contract)
            if found is None or found.service != service:
                raise refused(8, path, f"a contract of revision {revision.number} is missing")
        if revision.documentation is not None:
            docs = documentation.get(revision.documentation)
            if docs is None or (docs.package, docs.revision) != (card.package, revision.number):
                raise refused(8, path, f"the comments of revision {revision.number} are missing")


def _bad(what: str) -> SimpulError:
    return SimpulError(Code.CHANGE_INVALID, f"a contract's card is wrong: {what}; mend that")
