"""Federation-wide groups: who is in one, by whose word, and what is published of it."""

from pathlib import Path

import pytest

from registry import groups, membership
from registry.life import Standing
from registry.membership import Act, NewMember
from registry.registrar import Registrar
from runtime.ports import free_addresses
from security.errors import Code
from security.group import GroupView
from security.public_log import Kind
from simpul.registry.v1 import admin_pb2 as pb
from tests.unit.registry.conftest import KOMODO, NOW, WAKATOBI, set_state
from tests.unit.registry.running import refusal, run
from tests.unit.registry.test_operators import channel, enrol, person
from tests.unit.registry.test_systems import refused, view

NAME = "dinas-pariwisata"
TITLE = "Tourism agencies"


@pytest.fixture
def home(own_home: Path) -> Path:
    """A registry that operators may call."""
    (address,) = free_addresses(1)
    settings = own_home / "registry.toml"
    settings.write_text(settings.read_text() + f'\n[admin]\nlisten = "{address}"\n')
    return own_home


@pytest.fixture
def listed(registrar: Registrar) -> Registrar:
    """Two members, and a group."""
    for member in (KOMODO, WAKATOBI):
        if member not in view(registrar).members:
            membership.add(registrar, NewMember(member, f"Kabupaten {member.code}"), Act("t", NOW))
    groups.add(registrar, NAME, TITLE)
    return registrar


def test_members_come_and_go_and_each_change_has_a_number(listed: Registrar) -> None:
    assert view(listed).groups[NAME] == GroupView(NAME, 1, TITLE, frozenset())
    groups.include(listed, NAME, [KOMODO, WAKATOBI])
    groups.exclude(listed, NAME, [KOMODO])
    assert view(listed).groups[NAME] == GroupView(NAME, 3, TITLE, frozenset({WAKATOBI}))
    # The same once more changes nothing.
    assert groups.include(listed, NAME, [WAKATOBI]).number == 3
    groups.retire(listed, NAME)
    assert view(listed).groups[NAME] == GroupView(NAME, 4, TITLE, frozenset(), retired=True)
    assert [group.name for group in groups.every(listed)] == [NAME]


def test_what_can_t_be_is_refused(listed: Registrar) -> None:
    refused(Code.ALREADY_EXISTS, lambda: groups.add(listed, NAME, TITLE))
    refused(Code.CHANGE_INVALID, lambda: groups.add(listed, "Not a name", TITLE))
    refused(Code.CHANGE_INVALID, lambda: groups.add(listed, "other", "two\nlines"))
    refused(Code.NOT_FOUND, lambda: groups.include(listed, "other", [KOMODO]))
    refused(Code.CHANGE_INVALID, lambda: groups.include(listed, NAME, []))
    refused(Code.NOT_FOUND, lambda: groups.exclude(listed, NAME, [KOMODO]))
    nobody = WAKATOBI.parse("ID/DAERAH/63.09")
    refused(Code.MEMBER_UNKNOWN, lambda: groups.include(listed, NAME, [KOMODO, nobody]))
    assert view(listed).groups[NAME].members == frozenset()
    set_state(listed, Standing.SUSPENDED, KOMODO)
    refused(Code.MEMBER_SUSPENDED, lambda: groups.include(listed, NAME, [KOMODO]))
    groups.retire(listed, NAME)
    for step in (groups.include, groups.exclude):
        refused(Code.CONFLICT, lambda step=step: step(listed, NAME, [WAKATOBI]))
    refused(Code.CONFLICT, lambda: groups.retire(listed, NAME))


async def test_to_put_somebody_in_takes_two_persons_and_stands_in_the_log(home: Path) -> None:
    include = pb.ChangeGroupRequest(group=NAME, step="include", members=[str(KOMODO)])
    async with run(home) as registry:
        await registry.admin.AddMember(pb.AddMemberRequest(member=str(KOMODO), legal_name="Mabar"))
        anna = person("anna")
        grant = await enrol(registry, anna, "operator")
        async with channel(grant, anna) as stub:
            # An empty group opens nothing.
            await stub.ChangeGroup(pb.ChangeGroupRequest(group=NAME, step="add", title=TITLE))
            error, _ = await refusal(stub.ChangeGroup(include))
            assert error.code is Code.APPROVAL_PENDING
            (act,) = (await stub.ListPending(pb.ListPendingRequest())).acts
            assert (act.subject, KOMODO.code in act.request) == (NAME, True)
            (shown,) = (await stub.ListGroups(pb.ListGroupsRequest())).groups
            assert list(shown.members) == []
            await registry.admin.DecidePending(pb.DecidePendingRequest(id=act.id, approve=True))
            (shown,) = (await stub.ListGroups(pb.ListGroupsRequest())).groups
            assert list(shown.members) == [str(KOMODO)]
            # To take one out must not wait; to end all of it may.
            exclude = pb.ChangeGroupRequest(group=NAME, step="exclude", members=[str(KOMODO)])
            await stub.ChangeGroup(exclude)
            error, _ = await refusal(
                stub.ChangeGroup(pb.ChangeGroupRequest(group=NAME, step="retire"))
            )
            assert error.code is Code.APPROVAL_PENDING
            for wrong in (
                pb.ChangeGroupRequest(group=NAME, step="rename"),
                pb.ChangeGroupRequest(group="x", step="add", title=TITLE, members=[str(KOMODO)]),
            ):
                error, _ = await refusal(stub.ChangeGroup(wrong))
                assert error.code is Code.REQUEST_MALFORMED
            log = await stub.ListLog(pb.ListLogRequest())
            paths = [leaf.path for leaf in log.leaves if leaf.kind == Kind.FILE]
            assert paths.count(f"members/~groups/{NAME}") == 3
