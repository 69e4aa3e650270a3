"""Names of members, subsystems, services, nodes and regions.

    federation   ID
    member       ID/DAERAH/53.15
    subsystem    ID/DAERAH/53.15/pariwisata
    service      ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata
    node         ID/~labuan-bajo-1
    region code  53.15

A value that exists is well-formed: the rules are checked when it is made, by `parse` or by hand,
and `str()` gives back exactly the text that was parsed. There is one spelling of each name: no
folding of case, no trimming, ASCII only.

It does not know whether anything so named exists: the directory does.

Source: docs/spec, "Identifiers".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from security.errors import Code, SimpulError

MAX_SERVICE_NAME_CHARS: Final = 255
# A node so named would bear the name of the registry's own certificate.
RESERVED_NODE_NAMES: Final = frozenset({"registry"})

_FEDERATION: Final = re.compile(r"[A-Z][A-Z0-9]{1,15}")
_CLASS: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUBSYSTEM: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# A DNS label, because it is one in the node's TLS certificate.
_NODE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REGION: Final = re.compile(r"[0-9]{2}(?:\.[0-9]{2}(?:\.[0-9]{2}(?:\.[0-9]{4})?)?)?")
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_SERVICE: Final = re.compile(rf"{_NAME}(?:\.{_NAME})+")
_METHOD: Final = re.compile(_NAME)

_MEMBER_PARTS: Final = 3
_SHOWN_CHARS: Final = 80
_REMEMBERED: Final = 4096


class _Name:
    """What all names share: each is its text, by which it is printed, found and compared.

    A call looks up some thirty of them, so the text is put together once, when the name is made;
    and `parse` remembers the last few thousand, so that most lookups find the very same object.
    """

    __slots__ = ("_text",)
    _text: str

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, type(self)) and other._text == self._text)

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[Callable[[str], Self], tuple[str]]:
        return self.parse, (self._text,)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what `str` prints; raises SimpulError ID_MALFORMED."""
        raise NotImplementedError

    def _spell(self, text: str) -> None:
        # Names are frozen, and this is a part of making one.
        object.__setattr__(self, "_text", text)


@dataclass(frozen=True, slots=True, eq=False)
class MemberId(_Name):
    """A legal body: `ID/DAERAH/53.15`."""

    federation: str
    member_class: str
    code: str

    def __post_init__(self) -> None:
        check_federation(self.federation)
        if _CLASS.fullmatch(self.member_class) is None:
            raise _malformed("member class", self.member_class, "like KEMENTERIAN or DAERAH")
        # Two dots in a row would climb out of a folder, where the code names a file.
        if _CODE.fullmatch(self.code) is None or ".." in self.code:
            raise _malformed("member code", self.code, "like KOMDIGI or 53.15")
        self._spell(f"{self.federation}/{self.member_class}/{self.code}")

    @classmethod
    @lru_cache(maxsize=_REMEMBERED)
    def parse(cls, text: str) -> Self:
        """Parse `ID/DAERAH/53.15`; raises SimpulError ID_MALFORMED."""
        parts = text.split("/")
        if len(parts) != _MEMBER_PARTS:
            raise _malformed("member", text, "like ID/DAERAH/53.15")
        return cls(*parts)


@dataclass(frozen=True, slots=True, eq=False)
class SubsystemId(_Name):
    """An information system of a member: `ID/DAERAH/53.15/pariwisata`."""

    member: MemberId
    name: str

    def __post_init__(self) -> None:
        if _SUBSYSTEM.fullmatch(self.name) is None:
            raise _malformed("subsystem name", self.name, "like pariwisata, in lower case")
        self._spell(f"{self.member}/{self.name}")

    @classmethod
    @lru_cache(maxsize=_REMEMBERED)
    def parse(cls, text: str) -> Self:
        """Parse `ID/DAERAH/53.15/pariwisata`; raises SimpulError ID_MALFORMED."""
        member, slash, name = text.rpartition("/")
        if not slash or member.count("/") != _MEMBER_PARTS - 1:
            raise _malformed("subsystem", text, "like ID/DAERAH/53.15/pariwisata")
        return cls(MemberId.parse(member), name)


@dataclass(frozen=True, slots=True, eq=False)
class ServiceId(_Name):
    """A gRPC service of a subsystem: `ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata`."""

    subsystem: SubsystemId
    service: str

    def __post_init__(self) -> None:
        check_service_name(self.service)
        self._spell(f"{self.subsystem}/{self.service}")

    @classmethod
    @lru_cache(maxsize=_REMEMBERED)
    def parse(cls, text: str) -> Self:
        """Parse `ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata`; raises SimpulError ID_MALFORMED."""
        subsystem, slash, service = text.rpartition("/")
        if not slash or subsystem.count("/") != _MEMBER_PARTS:
            raise _malformed("service", text, "like ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata")
        return cls(SubsystemId.parse(subsystem), service)


@dataclass(frozen=True, slots=True, eq=False)
class NodeId(_Name):
    """The program an agency runs: `ID/~labuan-bajo-1`."""

    federation: str
    name: str

    def __post_init__(self) -> None:
        check_federation(self.federation)
        if _NODE.fullmatch(self.name) is None:
            raise _malformed("node name", self.name, "like labuan-bajo-1, in lower case")
        if self.name in RESERVED_NODE_NAMES:
            raise _malformed("node name", self.name, "that isn't reserved")
        self._spell(f"{self.federation}/~{self.name}")

    @classmethod
    @lru_cache(maxsize=_REMEMBERED)
    def parse(cls, text: str) -> Self:
        """Parse `ID/~labuan-bajo-1`; raises SimpulError ID_MALFORMED."""
        federation, separator, name = text.partition("/~")
        if not separator:
            raise _malformed("node", text, "like ID/~labuan-bajo-1")
        return cls(federation, name)

    @property
    def dns_name(self) -> str:
        """The name in the node's TLS certificate: `labuan-bajo-1.id.simpul.internal`."""
        return f"{self.name}.{self.federation.lower()}.simpul.internal"

    @classmethod
    def from_dns_name(cls, text: str) -> Self:
        """The node of a TLS certificate's name; raises SimpulError ID_MALFORMED."""
        name, _, rest = text.partition(".")
        federation, _, suffix = rest.partition(".")
        if suffix != "simpul.internal":
            raise _malformed("certificate name", text, "like labuan-bajo-1.id.simpul.internal")
        return cls(federation.upper(), name)


@dataclass(frozen=True, slots=True, eq=False)
class RegionCode(_Name):
    """A region as Kemendagri numbers it, province to village: `53`, `53.15`, `53.15.01.2001`."""

    text: str

    def __post_init__(self) -> None:
        if _REGION.fullmatch(self.text) is None:
            raise _malformed("region code", self.text, "like 53, 53.15, 53.15.01 or 53.15.01.2001")
        self._spell(self.text)

    @classmethod
    @lru_cache(maxsize=_REMEMBERED)
    def parse(cls, text: str) -> Self:
        """Parse `53.15`; raises SimpulError ID_MALFORMED."""
        return cls(text)


@lru_cache(maxsize=_REMEMBERED)
def service_of(subsystem: SubsystemId, service: str) -> ServiceId:
    """A service of a subsystem; raises SimpulError ID_MALFORMED."""
    return ServiceId.parse(f"{subsystem}/{service}")


def check_federation(text: str) -> None:
    """Check that `text` may name a federation (`ID`); raises SimpulError ID_MALFORMED."""
    if _FEDERATION.fullmatch(text) is None:
        raise _malformed("federation", text, "like ID: 2 to 16 capitals and digits")


def check_service_name(text: str) -> None:
    """Check a gRPC service's full name (`wisata.v1.Wisata`); raises SimpulError ID_MALFORMED."""
    if len(text) > MAX_SERVICE_NAME_CHARS or _SERVICE.fullmatch(text) is None:
        raise _malformed("service name", text, "like wisata.v1.Wisata, with its package")


def check_method_name(text: str) -> None:
    """Check a gRPC method's name (`List`); raises SimpulError ID_MALFORMED."""
    if len(text) > MAX_SERVICE_NAME_CHARS or _METHOD.fullmatch(text) is None:
        raise _malformed("method name", text, "like List")


def _malformed(what: str, text: str, wanted: str) -> SimpulError:
    shown = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."
    return SimpulError(Code.ID_MALFORMED, f"{shown!a} is no {what}; give one {wanted}")
