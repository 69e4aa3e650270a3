"""The closest contracts, with what they share and who uses them."""

from dataclasses import replace
from functools import partial
from hashlib import sha256

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st

from registry.contracts.model import KnownContract, ListedContract
from registry.similarity.compare import WEIGHTS, compare
from registry.similarity.comparer import SimilarityComparer
from registry.similarity.features import MAX_FIELDS, features
from security.identifiers import MemberId
from tests.unit.registry.similarity.labelled import read_contracts

OWNER = MemberId.parse("ID/DAERAH/53.15")
USER = MemberId.parse("ID/DAERAH/74.07")
CONTRACTS = read_contracts("tuning")


def known(package: str, owner: MemberId = OWNER) -> KnownContract:
    return KnownContract(package, 3, owner, CONTRACTS[package].descriptor_set)


def listed(contract: KnownContract) -> ListedContract:
    content = sha256(contract.descriptor_set).digest()
    return ListedContract(contract.package, 3, contract.owner, (USER,), content, lambda: contract)


def test_the_closest_comes_first_with_what_is_shared_and_who_uses_it() -> None:
    others = [listed(known(package)) for package in CONTRACTS if package != "wisata.pulau.v1"]

    first, *rest = SimilarityComparer().closest(known("wisata.pulau.v1"), others)

    assert (first.package, first.revision, first.owner) == ("tourism.islands.v1", 3, OWNER)
    assert first.close
    assert first.users == (USER,)
    said = " | ".join(first.shared)
    assert "PulauWisata.CariPulau = Islands.ListIslands" in said
    assert "Pulau = Island" in said
    assert "nama = name" in said
    assert [each.score for each in rest] == sorted((each.score for each in rest), reverse=True)


def test_the_threshold_is_a_setting() -> None:
    new, other = known("wisata.pulau.v1"), known("tourism.islands.v1")

    (found,) = SimilarityComparer(close_at=0.999).closest(new, [listed(other)])

    assert not found.close


def test_what_is_kept_changes_no_answer() -> None:
    new, other = known("wisata.pulau.v1"), known("tourism.islands.v1")
    comparer = SimilarityComparer()
    before = comparer.closest(new, [listed(other)])

    assert comparer.closest(new, []) == ()
    # The same package with other content is read anew.
    changed = replace(other, descriptor_set=_renamed("rs.tempattidur.v1", other.package))
    assert comparer.closest(new, [listed(changed)]) == ()
    assert comparer.closest(new, [listed(other)]) == before


def test_each_content_is_read_once() -> None:
    asked: list[str] = []

    def read(package: str) -> KnownContract:
        asked.append(package)
        return known(package)

    names = [package for package in CONTRACTS if package != "wisata.pulau.v1"]
    others = [replace(listed(known(name)), read=partial(read, name)) for name in names]
    comparer = SimilarityComparer()
    for _ in range(2):
        comparer.closest(known("wisata.pulau.v1"), others)

    assert asked == names


def _renamed(package: str, to: str) -> bytes:
    found = FileDescriptorSet.FromString(CONTRACTS[package].descriptor_set)
    for file in found.file:
        if file.package == package:
            file.package = to
    return found.SerializeToString()


def test_a_contract_is_like_itself_and_likeness_has_no_direction() -> None:
    made = [features(each.descriptor_set, each.package, {}) for each in CONTRACTS.values()]
    for one in made:
        assert compare(one, one).value > 0.85, one.package
        for two in made[:8]:
            assert compare(one, two).value == pytest.approx(compare(two, one).value, abs=0.02)
    assert sum((WEIGHTS.subject, WEIGHTS.words, WEIGHTS.fields, WEIGHTS.methods)) == pytest.approx(
        1
    )


def test_a_message_within_itself_and_one_that_is_missing_end() -> None:
    file = FileDescriptorProto(name="a.proto", package="a.v1")
    node = file.message_type.add(name="Node")
    node.field.add(name="next", number=1, type=11, type_name=".a.v1.Node", label=1)
    method = file.service.add(name="Walk").method.add(name="Go")
    method.input_type, method.output_type = ".a.v1.Node", ".a.v1.Missing"
    data = FileDescriptorSet(file=[file]).SerializeToString()

    made = features(data, "a.v1", {})

    assert [each.name for each in made.messages] == ["Node"]
    assert 0 <= compare(made, made).value <= 1


def test_ten_thousand_fields_are_compared_as_far_as_the_limit() -> None:
    file = FileDescriptorProto(name="a.proto", package="a.v1")
    wide = file.message_type.add(name="Wide")
    for number in range(1, 10_001):
        wide.field.add(name=f"f{number}", number=number, type=9, label=1)
    method = file.service.add(name="Walk").method.add(name="Go")
    method.input_type = method.output_type = ".a.v1.Wide"
    data = FileDescriptorSet(file=[file]).SerializeToString()

    assert len(features(data, "a.v1", {}).messages[0].fields) == MAX_FIELDS


@given(st.text(max_size=30), st.text(max_size=60))
def test_any_names_and_comments_are_read(name: str, comment: str) -> None:
    file = FileDescriptorProto(name="a.proto", package="a.v1")
    file.service.add(name=name).method.add(name=name, input_type=name, output_type=f".{name}")
    data = FileDescriptorSet(file=[file]).SerializeToString()

    made = features(data, "a.v1", {"a": comment})

    assert 0 <= compare(made, made).value <= 1
