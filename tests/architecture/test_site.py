"""The docs as a site: `make docs` builds it, and a broken link fails that."""

from typing import Any

import yaml

from tests.architecture.project import PROJECT


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    if isinstance(nav, dict):
        return [page for under in nav.values() for page in _pages(under)]
    return [page for each in nav for page in _pages(each)]


def test_every_page_has_its_place_once() -> None:
    settings = yaml.safe_load((PROJECT / "mkdocs.yml").read_text())
    docs = PROJECT / "docs"
    there = sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))
    assert sorted(_pages(settings["nav"])) == there, "put it under nav in mkdocs.yml"


def test_nothing_is_fetched_from_elsewhere() -> None:
    settings = yaml.safe_load((PROJECT / "mkdocs.yml").read_text())
    assert settings["theme"]["font"] is False
    assert not {"extra_javascript", "extra_css"} & {*settings}
