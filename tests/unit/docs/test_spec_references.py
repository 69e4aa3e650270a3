"""What sources cite of the wire standard is there, and it lists what the sources define."""

import re
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from security import hashing
from security.errors import ERRORS, Code
from security.limits import Limits
from tests.architecture.project import PROJECT

SPEC = PROJECT / "docs" / "spec"
ROOMS = ("bench", "cli", "examples", "node", "registry", "runtime", "security", "tests", "tools")
CITED = re.compile(r'(?:docs/spec|wire standard),\s+"([^"]+)"')
HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
MAX_LINES = 300


def headings(text: str) -> set[str]:
    return set(HEADING.findall(CODE_BLOCK.sub("", text)))


def cited(text: str) -> set[str]:
    return {re.sub(r"\s+", " ", section) for section in CITED.findall(text)}


def citations() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        for path in sorted((PROJECT / room).rglob("*.py")):
            for section in sorted(cited(path.read_text(encoding="utf-8"))):
                yield str(path.relative_to(PROJECT)), section


def pages() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(SPEC.glob("*.md"))}


def test_every_cited_section_is_a_heading() -> None:
    sections = set().union(*(headings(text) for text in pages().values()))
    missing = [f"{path}: {section}" for path, section in citations() if section not in sections]
    assert missing == []


def test_citations_are_found_at_all() -> None:
    assert len({section for _, section in citations()}) > 20


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('docs/spec, "Keys"; RFC 8032', {"Keys"}),
        ('the wire standard, "What a receiver checks", step 4', {"What a receiver checks"}),
        ('Source: docs/spec,\n"Entries:\n kinds".', {"Entries: kinds"}),
        ("docs/spec is the wire standard", set()),
    ],
)
def test_a_citation_is_read(text: str, found: set[str]) -> None:
    assert cited(text) == found


def test_a_section_within_a_code_block_is_none() -> None:
    assert headings("# One\n\n```\n# Two\n```\n\n## Three\n") == {"One", "Three"}


def test_every_code_is_listed_with_its_status() -> None:
    listed = dict(
        re.findall(r"^\| `([A-Z_]+)` \| (\d+) [A-Z_]+ \|", pages()["errors.md"], re.MULTILINE)
    )
    assert listed == {code.value: str(ERRORS[code].grpc_status) for code in Code}


def test_every_domain_is_listed() -> None:
    domains = {
        value.decode() for value in vars(hashing).values() if isinstance(value, bytes)
    }  # fmt: skip
    listed = set(re.findall(r"^\| `(simpul/v1/[a-z-]+)` \|", pages()["hashes.md"], re.MULTILINE))
    assert domains - listed == set()


def test_default_limits_are_those_of_the_sources() -> None:
    listed = re.findall(r"^\| `(max_[a-z_]+)` \| ([0-9,]+) \|", pages()["limits.md"], re.MULTILINE)
    assert {name: int(limit.replace(",", "")) for name, limit in listed} == asdict(Limits())


def test_every_code_that_a_page_names_exists() -> None:
    named = {
        (page, code)
        for page, text in pages().items()
        for code in re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)`", text)
    }
    known = {code.value for code in Code}
    assert {item for item in named if item[1] not in known} == set()


def test_every_page_is_listed_and_short() -> None:
    index = pages()["README.md"]
    for page, text in pages().items():
        assert page == "README.md" or f"({page})" in index, f"{page} isn't in docs/spec/README.md"
        assert len(text.splitlines()) < MAX_LINES, f"{page} is too long: split it"


@pytest.mark.parametrize("pattern", ["spec/*.md", "reference/*.md", "explanation/trust.md"])
def test_links_lead_somewhere(pattern: str) -> None:
    for path in sorted((PROJECT / "docs").glob(pattern)):
        text = CODE.sub("", path.read_text(encoding="utf-8"))
        for target in LINK.findall(text):
            if not target.startswith(("http://", "https://")):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
