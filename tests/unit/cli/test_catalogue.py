"""`simpul catalogue`, against a node that implements the real admin API."""

from pathlib import Path

import pytest

from simpul.v1 import catalogue_pb2 as pb
from simpul.v1 import directory_pb2
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeNode


def test_search_asks_for_all_that_is_said(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(
        "catalogue", "search", "pulau", "kapal", "--region", "53.*", "--class", "DAERAH",
        "--field", "nama", "--maturity", "trial", "--limit", "5", "--page", "20",
    ).ok()  # fmt: skip
    assert node.heard.last() == pb.CatalogueSearchRequest(
        text="pulau kapal", region="53.*", member_class="DAERAH", field="nama", page_size=5,
        page_token="20", maturity=directory_pb2.CONTRACT_MATURITY_TRIAL,
    )  # fmt: skip
    assert "wisata.v1" in ran.out
    assert "wisata.v1.Island.name" in ran.out
    assert "2 in all; for the next: --page 1" in ran.err


def test_search_without_a_word_asks_for_everything(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("catalogue", "search", "--json").ok()
    assert node.heard.last() == pb.CatalogueSearchRequest(page_size=20)
    (hit,) = ran.json()["hits"]
    assert (hit["package"], hit["implementations"]) == ("wisata.v1", 4)
    assert "FIELDS" not in simpul("catalogue", "search").ok().out


@pytest.mark.usefixtures("node")
def test_nothing_found_is_no_error(simpul: Simpul) -> None:
    ran = simpul("catalogue", "search", "nothing").ok()
    assert (ran.out, "No contract matches" in ran.err) == ("", True)


def test_show_says_who_implements_it_and_whose_count_it_is(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("catalogue", "show", "wisata.v1.Wisata/List", "--days", "7").ok()
    assert node.heard.last() == pb.CatalogueShowRequest(name="wisata.v1.Wisata", days=7)
    for said in ("Wisata/List", "stream", "All islands.", "Manggarai Barat", "suspended", "trial"):
        assert said in " ".join(ran.out.split())
    assert "at least so many calls of this node's own journal" in " ".join(ran.err.split())


@pytest.mark.usefixtures("node")
def test_show_writes_the_files(simpul: Simpul, tmp_path: Path) -> None:
    ran = simpul("catalogue", "show", "wisata.v1", "--proto", str(tmp_path / "p"), "--json").ok()
    (file,) = ran.json()["files"]
    assert "service Wisata" in Path(file).read_text()


def test_a_snippet_is_all_of_stdout(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(
        "catalogue", "show", "wisata.v1.Wisata/List", "--snippet", "javascript", "--region",
        "53.15", "-d", "{}",
    ).ok()  # fmt: skip
    assert node.heard.last() == pb.CatalogueSnippetRequest(
        method="wisata.v1.Wisata/List", language=pb.CATALOGUE_LANGUAGE_JAVASCRIPT, region="53.15",
        request_json="{}",
    )  # fmt: skip
    assert ran.out == "# wisata.v1.Wisata/List\n"
    as_json = simpul("catalogue", "show", "x.v1.X", "--snippet", "go", "--json").ok().json()
    assert as_json == {"language": "go", "text": "# x.v1.X\n"}


@pytest.mark.usefixtures("node")
def test_what_is_wrong_is_said_without_asking(simpul: Simpul) -> None:
    assert "REQUEST_MALFORMED" in simpul("catalogue", "search", "--maturity", "ripe").err
    assert "REQUEST_MALFORMED" in simpul("catalogue", "search", "\udcff").err
    assert simpul("catalogue", "show", "wisata.v1", "--snippet", "cobol").code == 2
    assert simpul("catalogue", "search", "--limit", "101").code == 2
