"""Names as they are published."""

from registry.directory.layout import (
    CONTRACTS,
    LIVES,
    MEMBERS,
    Role,
    bin_names,
    contract_path,
    key_role,
    member_path,
    metadata_name,
    target_name,
)


def test_names() -> None:
    assert member_path("ID/DAERAH/53.15") == "members/DAERAH/53.15"
    assert contract_path("wisata.v1.Wisata", b"\xab" * 32) == (
        f"contracts/wisata.v1.Wisata/{'ab' * 32}"
    )
    assert target_name("members/DAERAH/53.15", "ff") == "targets/members/DAERAH/ff.53.15"
    assert target_name("policy", "ff") == "targets/ff.policy"
    assert metadata_name("m-0a", 7) == "metadata/7.m-0a.json"
    assert metadata_name("timestamp", 7) == "metadata/timestamp.json"


def test_bins_of_the_two_families_are_signed_by_different_keys() -> None:
    assert {key_role(name) for name in bin_names(MEMBERS)} == {Role.MEMBER_BINS}
    assert {key_role(name) for name in bin_names(CONTRACTS)} == {Role.CONTRACT_BINS}
    assert bin_names(MEMBERS)[0] == "m-00"
    assert bin_names(MEMBERS)[-1] == "m-1f"


def test_no_role_is_renewed_later_than_the_longest_outage_before_its_end() -> None:
    assert min(life.renew_before_days for life in LIVES.values()) >= 7
    assert set(LIVES) == set(Role) - {Role.TIMESTAMP}
