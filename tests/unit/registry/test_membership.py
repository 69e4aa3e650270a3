"""Members from their application to their end, and what is published of them meanwhile."""

import pytest

from registry import membership
from registry.directory import content
from registry.life import Standing
from registry.membership import Act, NewMember, RegionChange
from registry.model import Contact, ContactKind, Touched
from registry.registrar import Registrar
from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode
from simpul.v1 import directory_pb2
from tests.unit.registry.conftest import DAY_MS, KOMODO, NOW, set_state

ANAMBAS = MemberId.parse("ID/DAERAH/21.05")
ACT = Act("operator one", NOW)
PROTECTION = Contact(ContactKind.DATA_PROTECTION, "Bagian Hukum", "dpo@anambas.go.id")
GENERAL = Contact(ContactKind.GENERAL, "Dinas Kominfo", phone="+62 772 31000")


def anambas(name: str = "Kepulauan Anambas", *codes: str) -> NewMember:
    return NewMember(ANAMBAS, name, regions(*codes), (GENERAL, PROTECTION))


def regions(*codes: str) -> tuple[RegionCode, ...]:
    return tuple(map(RegionCode.parse, codes))


def published(registrar: Registrar, member: MemberId) -> directory_pb2.MemberRecord | None:
    touched = Touched(frozenset({member}))
    files = content.read_committed(registrar.store, registrar.policy, touched)
    path = f"members/{member.member_class}/{member.code}"
    return directory_pb2.MemberRecord.FromString(files[path]) if path in files else None


def refused(code: Code, call: object) -> SimpulError:
    assert callable(call)
    with pytest.raises(SimpulError) as caught:
        call()
    assert caught.value.code is code
    return caught.value


def test_a_member_is_listed(registrar: Registrar) -> None:
    listing = membership.add(registrar, anambas("Kepulauan Anambas", "21.05"), ACT)

    assert listing.member.legal_name == "Kepulauan Anambas"
    assert listing in membership.list_members(registrar)
    record = published(registrar, ANAMBAS)
    assert record is not None
    assert [region.code for region in record.regions] == ["21.05"]


@pytest.mark.parametrize(
    ("member", "name", "codes", "code"),
    [
        ("XX/DAERAH/21.05", "Anambas", (), Code.ID_MALFORMED),
        ("ID/PARTAI/21.05", "Anambas", (), Code.ID_MALFORMED),
        ("ID/DAERAH/53.15", "Komodo", (), Code.ALREADY_EXISTS),
        ("ID/DAERAH/21.05", "KABUPATEN 53.15", (), Code.ALREADY_EXISTS),
        ("ID/DAERAH/21.05", "", (), Code.CHANGE_INVALID),
        ("ID/DAERAH/21.05", "x" * 257, (), Code.CHANGE_INVALID),
        ("ID/DAERAH/21.05", "Anambas", ("21.05", "21.05"), Code.CHANGE_INVALID),
    ],
)
def test_a_member_that_can_be_none_is_refused(
    registrar: Registrar, member: str, name: str, codes: tuple[str, ...], code: Code
) -> None:
    new = NewMember(MemberId.parse(member), name, regions(*codes))
    for work in (membership.add, membership.apply):
        refused(code, lambda work=work: work(registrar, new, ACT))

    assert len(membership.list_members(registrar)) == 2


def test_an_applicant_is_published_when_approved_and_not_before(registrar: Registrar) -> None:
    membership.apply(registrar, anambas(), ACT)
    assert published(registrar, ANAMBAS) is None
    membership.set_state(registrar, ANAMBAS, Standing.IN_REVIEW, ACT)
    assert published(registrar, ANAMBAS) is None

    membership.set_state(registrar, ANAMBAS, Standing.ACTIVE, Act("operator two", NOW + 1))

    record = published(registrar, ANAMBAS)
    assert record is not None
    assert record.state == directory_pb2.MEMBER_STATE_ACTIVE
    history = membership.show(registrar, ANAMBAS).history
    assert [(event.before, event.after, event.actor) for event in history] == [
        (None, Standing.APPLIED, "operator one"),
        (Standing.APPLIED, Standing.IN_REVIEW, "operator one"),
        (Standing.IN_REVIEW, Standing.ACTIVE, "operator two"),
    ]


def test_who_was_declined_may_apply_again_under_another_name(registrar: Registrar) -> None:
    membership.apply(registrar, anambas("Anambos", "21.05"), ACT)
    membership.set_state(registrar, ANAMBAS, Standing.IN_REVIEW, ACT)
    refused(
        Code.CHANGE_INVALID,
        lambda: membership.set_state(registrar, ANAMBAS, Standing.DECLINED, ACT),
    )
    why = Act("operator one", NOW, "the name is misspelt")
    membership.set_state(registrar, ANAMBAS, Standing.DECLINED, why)

    listing = membership.apply(registrar, anambas("Anambas", "21.05"), Act("x", NOW + 5))

    assert (listing.member.legal_name, listing.member.state) == ("Anambas", Standing.APPLIED)
    assert [region.valid_from_ms for region in listing.member.regions] == [NOW + 5]
    assert membership.show(registrar, ANAMBAS).history[2].reason == "the name is misspelt"


def test_an_application_that_was_withdrawn_is_not_approved(registrar: Registrar) -> None:
    membership.apply(registrar, anambas(), ACT)
    membership.set_state(registrar, ANAMBAS, Standing.WITHDRAWN, ACT)

    error = refused(
        Code.CONFLICT, lambda: membership.set_state(registrar, ANAMBAS, Standing.ACTIVE, ACT)
    )

    assert "is withdrawn" in error.message


def test_a_refused_step_leaves_no_event(registrar: Registrar) -> None:
    refused(Code.CONFLICT, lambda: set_state(registrar, Standing.APPLIED))
    assert len(membership.show(registrar, KOMODO).history) == 1


def test_contacts_are_kept_and_not_published(registrar: Registrar) -> None:
    membership.add(registrar, anambas(), ACT)
    other = Contact(ContactKind.GENERAL, "Sekretariat", "s@anambas.go.id")
    membership.update(registrar, ANAMBAS, "", (other, ContactKind.DATA_PROTECTION))

    assert membership.show(registrar, ANAMBAS).contacts == (other,)
    record = published(registrar, ANAMBAS)
    assert record is not None
    assert b"anambas.go.id" not in record.SerializeToString()


def test_a_name_changes_and_is_published(registrar: Registrar) -> None:
    membership.update(registrar, KOMODO, "Kabupaten Manggarai Barat", ())

    record = published(registrar, KOMODO)
    assert record is not None
    assert (record.legal_name, record.number) == ("Kabupaten Manggarai Barat", 2)
    refused(
        Code.ALREADY_EXISTS, lambda: membership.update(registrar, KOMODO, "kabupaten 74.07", ())
    )


def test_a_code_is_followed_by_another(registrar: Registrar) -> None:
    at = NOW + DAY_MS
    change = RegionChange(at, end=regions("53.15"), begin=regions("53.22"))
    membership.change_regions(registrar, KOMODO, change)

    record = published(registrar, KOMODO)
    assert record is not None
    old, new = record.regions
    assert (old.code, old.valid_until_ms, list(old.successors)) == ("53.15", at, ["53.22"])
    assert (new.code, new.valid_from_ms, list(new.predecessors)) == ("53.22", at, ["53.15"])
    assert not new.HasField("valid_until_ms")


def test_a_split_names_another_members_codes(registrar: Registrar) -> None:
    begin = RegionChange(
        NOW + 1, begin=regions("53.22"), predecessors=regions("53.10"), successors=()
    )
    listing = membership.change_regions(registrar, KOMODO, begin)
    assert listing.member.regions[1].predecessors == regions("53.10")


@pytest.mark.parametrize(
    ("end", "begin"),
    [
        ((), ()),
        (("74.07",), ()),
        ((), ("53.15",)),
        (("53.15",), ("53.15",)),
    ],
)
def test_a_change_of_regions_that_can_be_none_is_refused(
    registrar: Registrar, end: tuple[str, ...], begin: tuple[str, ...]
) -> None:
    change = RegionChange(NOW + 1, end=regions(*end), begin=regions(*begin))
    refused(Code.CHANGE_INVALID, lambda: membership.change_regions(registrar, KOMODO, change))


def test_a_code_does_not_end_before_it_began(registrar: Registrar) -> None:
    change = RegionChange(NOW, end=regions("53.15"))
    refused(Code.CHANGE_INVALID, lambda: membership.change_regions(registrar, KOMODO, change))


def test_a_code_may_come_back(registrar: Registrar) -> None:
    ended = RegionChange(NOW + 1, end=regions("53.15"))
    membership.change_regions(registrar, KOMODO, ended)
    again = RegionChange(NOW + 2, begin=regions("53.15"))
    listing = membership.change_regions(registrar, KOMODO, again)
    assert [region.valid_from_ms for region in listing.member.regions] == [NOW, NOW + 2]
