"""Who takes part in the demo: the members, their nodes, and what they offer. Pure, but for a file.

The order is that in which `--nodes N` takes them. The consumer is the first; the regencies have
real codes, names and islands (examples/data).
"""

import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import examples
from examples.data import ISLANDS, REGENCIES

FEDERATION: Final = "ID"
MIN_NODES: Final = 3
DEFAULT_NODES: Final = 6

WISATA: Final = "wisata.v1.Wisata"
BANDARA: Final = "bandara.v1.Bandara"
PROTOSETS: Final = Path(examples.__file__).parent / "protos"


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that a participant runs: its full name, its program's arguments, its contract."""

    service: str
    arguments: tuple[str, ...]
    protoset: Path


@dataclass(frozen=True, slots=True)
class Participant:
    """One member with its one node and its one subsystem. `offer` None: it only asks."""

    member: str
    legal_name: str
    node: str
    subsystem: str
    regions: tuple[str, ...] = ()
    offer: Offer | None = None

    @property
    def node_id(self) -> str:
        """`ID/~labuan-bajo-1`."""
        return f"{FEDERATION}/~{self.node}"

    @property
    def service_id(self) -> str:
        """The service's id; empty where there is none."""
        return "" if self.offer is None else f"{self.subsystem}/{self.offer.service}"


KOMDIGI: Final = Participant(
    member="ID/KEMENTERIAN/KOMDIGI",
    legal_name="Kementerian Komunikasi dan Digital",
    node="komdigi-1",
    subsystem="ID/KEMENTERIAN/KOMDIGI/superapp",
)
KEMENHUB: Final = Participant(
    member="ID/KEMENTERIAN/KEMENHUB",
    legal_name="Kementerian Perhubungan",
    node="kemenhub-1",
    subsystem="ID/KEMENTERIAN/KEMENHUB/bandara",
    offer=Offer(
        BANDARA,
        (sys.executable, "-m", "examples.bandara.server"),
        PROTOSETS / "bandara.protoset",
    ),
)
# Those that always come first, and the towns that two of the nodes are called by.
_FIRST: Final = {
    "53.15": "labuan-bajo-1",
    "74.07": "wakatobi-1",
    "52.08": "lombok-utara-1",
    "21.05": "kepulauan-anambas-1",
}


def participants(count: int) -> tuple[Participant, ...]:
    """The first `count` of them.

    Raises:
        ValueError: There are fewer, or `count` is below `MIN_NODES`.
    """
    if count < MIN_NODES:
        raise ValueError(f"a federation that shows anything has at least {MIN_NODES} nodes")
    regencies = _regencies()
    found = [KOMDIGI, next(regencies), KEMENHUB]
    for regency in regencies:
        if len(found) == count:
            return tuple(found)
        found.append(regency)
    if len(found) == count:
        return tuple(found)
    raise ValueError(f"there are {len(found)} participants: give at most so many nodes")


def _regencies() -> Iterator[Participant]:
    """The four that the demo is about, then all others that have islands, by their codes."""
    names = {row["code"]: row["name"] for row in _rows(REGENCIES)}
    with_islands = sorted({row["regency_code"] for row in _rows(ISLANDS)} & set(names))
    rest = [code for code in with_islands if code not in _FIRST]
    for code in (*_FIRST, *rest):
        name = names[code].title()
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("kabupaten ")).strip("-")
        yield _regency(code, name, _FIRST.get(code, f"{slug}-1"))


def _regency(code: str, name: str, node: str) -> Participant:
    member = f"{FEDERATION}/DAERAH/{code}"
    return Participant(
        member=member,
        legal_name=name,
        node=node,
        subsystem=f"{member}/pariwisata",
        regions=(code,),
        offer=Offer(
            WISATA,
            (sys.executable, "-m", "examples.wisata.server", "--region", code),
            PROTOSETS / "wisata.protoset",
        ),
    )


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        yield from csv.DictReader(opened)
