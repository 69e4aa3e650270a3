"""Contracts at a node: what is sent to the registry, and what the directory shows."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from node.operations import contracts
from node.operations.contracts import NewRevision, Settings
from node.operations.desk import Desk
from security.contract_card import ContractTermsView, Maturity, card_path, documentation_path
from security.contract_comments import comments_of
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode
from security.regions import Choice, RegionRules
from simpul.v1 import registry_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.cards import PACKAGE, card, docs
from tests.support.protos import compiled

VIEW = directories.build(
    directories.targets(
        changed={card_path(PACKAGE): card(), documentation_path(PACKAGE, 1): docs()}
    )
)


@dataclass
class Registry:
    """Takes what a node submits."""

    published: list[registry_pb2.PublishContract] = field(default_factory=list)
    terms: list[registry_pb2.SetContract] = field(default_factory=list)
    asked: list[tuple[str, bytes, MemberId | None]] = field(default_factory=list)

    async def publish_contract(
        self, message: registry_pb2.PublishContract, now_ms: int
    ) -> registry_pb2.ChangeResponse:
        assert now_ms == fixed.NOW_MS
        self.published.append(message)
        return registry_pb2.ChangeResponse(directory_version=7)

    async def find_similar(
        self, package: str, descriptor_set: bytes, member: MemberId | None, now_ms: int
    ) -> tuple[registry_pb2.SimilarContract, ...]:
        assert now_ms == fixed.NOW_MS
        self.asked.append((package, descriptor_set, member))
        return (registry_pb2.SimilarContract(package="lain.v1"),)

    async def set_contract(
        self, message: registry_pb2.SetContract, now_ms: int
    ) -> registry_pb2.ChangeResponse:
        assert now_ms == fixed.NOW_MS
        self.terms.append(message)
        return registry_pb2.ChangeResponse(directory_version=7)


@dataclass
class Here:
    """A node of the regency, with a directory in which its contract is."""

    changes: Registry = field(default_factory=Registry)
    directory: DirectoryView = VIEW
    caught_up: list[int] = field(default_factory=list)

    def now_ms(self) -> int:
        return fixed.NOW_MS

    def require_member(self, member: MemberId) -> None:
        if member != fixed.REGENCY:
            raise SimpulError(Code.MEMBER_UNKNOWN, "not here")

    async def catch_up(self, version: int) -> None:
        self.caught_up.append(version)


def desk(here: Here) -> Desk:
    return cast("Desk", here)


async def test_a_revision_follows_the_one_in_the_directory() -> None:
    here = Here()
    await contracts.publish(desk(here), NewRevision(fixed.REGENCY, compiled()))
    (sent,) = here.changes.published
    assert (sent.package, sent.follows, sent.HasField("terms")) == (PACKAGE, 1, False)
    assert sent.descriptor_set == compiled()
    assert here.caught_up == [7]

    said = Settings(title="Islands", maturity="trial", regions="53, 53.15")
    new = NewRevision(fixed.REGENCY, compiled(), settings=said, follows=0, why_not="Ours is.")
    await contracts.publish(desk(here), new)
    sent = here.changes.published[-1]
    assert (sent.follows, sent.why_not, sent.terms.title) == (0, "Ours is.", "Islands")
    assert list(sent.terms.regions) == ["53", "53.15"]


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (NewRevision(fixed.MINISTRY, compiled()), Code.MEMBER_UNKNOWN),
        (NewRevision(fixed.REGENCY, b"\xff"), Code.PROTOSET_INVALID),
        (NewRevision(fixed.REGENCY, compiled('syntax = "proto3";')), Code.PROTOSET_LACKS_SERVICE),
        (NewRevision(fixed.REGENCY, compiled(), package="9"), Code.ID_MALFORMED),
        (
            NewRevision(fixed.REGENCY, compiled(), settings=Settings(maturity="ripe")),
            Code.CHANGE_INVALID,
        ),
        (
            NewRevision(fixed.REGENCY, compiled(), settings=Settings(regions="53,5")),
            Code.ID_MALFORMED,
        ),
        (
            NewRevision(fixed.REGENCY, compiled(), settings=Settings(title="a\nb")),
            Code.CHANGE_INVALID,
        ),
    ],
)
async def test_what_is_wrong_is_said_without_asking_the_registry(
    new: NewRevision, code: Code
) -> None:
    here = Here()
    with pytest.raises(SimpulError) as caught:
        await contracts.publish(desk(here), new)
    assert caught.value.code is code
    assert here.changes.published == []


async def test_terms_are_set_by_the_card_that_is_known() -> None:
    here = Here()
    rules = {fixed.SERVICE: RegionRules(enclosing=True, choice=Choice.ORDERED)}
    await contracts.set_terms(desk(here), PACKAGE, Settings(maturity="retired", rules=rules))
    (sent,) = here.changes.terms
    assert (sent.card_number, sent.member) == (1, str(fixed.REGENCY))
    assert sent.terms.rules[0].regions.enclosing
    with pytest.raises(SimpulError) as caught:
        await contracts.set_terms(desk(here), "lain.v1", Settings())
    assert caught.value.code is Code.CONTRACT_UNKNOWN


def test_settings_change_what_they_say_and_nothing_else() -> None:
    before = ContractTermsView(
        "Islands", "Dinas", Maturity.TRIAL, (RegionCode("53"),), "MIT", "b.v1"
    )
    assert Settings().on(before) == before
    cleared = Settings(title="", regions="", successor="").on(before)
    assert cleared == ContractTermsView("", "Dinas", Maturity.TRIAL, (), "MIT", "")


def test_who_implements_what_is_shown_with_its_comments() -> None:
    (entry,) = contracts.entries(desk(Here()))
    assert [(str(service), number) for service, number in entry.users] == [
        (f"{fixed.TOURISM}/{fixed.SERVICE}", 1)
    ]
    for name in (PACKAGE, fixed.SERVICE):
        found = contracts.show(desk(Here()), name)
        assert found.entry == entry
        assert found.revision.number == 1
        assert comments_of(found.descriptor_set, PACKAGE) == found.comments
    for name, revision in (("lain.v1", 0), (PACKAGE, 2)):
        with pytest.raises(SimpulError) as caught:
            contracts.show(desk(Here()), name, revision)
        assert caught.value.code is Code.CONTRACT_UNKNOWN


async def test_what_is_like_a_file_or_a_published_contract_is_asked_of_the_registry() -> None:
    here = Here()
    package, found = await contracts.similar(desk(here), "", compiled(), fixed.REGENCY)
    assert (package, [item.package for item in found]) == (PACKAGE, ["lain.v1"])
    assert here.changes.asked == [(PACKAGE, compiled(), fixed.REGENCY)]

    # One of its services names a contract, too; its comments go with it.
    package, _ = await contracts.similar(desk(here), fixed.SERVICE, b"", None)
    assert package == PACKAGE
    (_, sent, member) = here.changes.asked[-1]
    assert (comments_of(sent, PACKAGE) != (), member) == (True, None)

    for name, data, code in (
        ("lain.v1", b"", Code.CONTRACT_UNKNOWN),
        ("", b"\xff", Code.PROTOSET_INVALID),
    ):
        with pytest.raises(SimpulError) as caught:
            await contracts.similar(desk(here), name, data, None)
        assert caught.value.code is code
    assert len(here.changes.asked) == 2
