"""New keys for what the directory delegates, under traffic: a node that has the old one follows."""

import asyncio
import shutil
from pathlib import Path

import pytest

from node.directory.fetch import HttpFetcher
from node.directory.replica import Replica
from node.store.engine import Store
from registry.directory import signers
from registry.directory.layout import Role
from registry.directory.rotation import ROTATED, listed_keys
from registry.home import RegistryHome
from runtime.clock import now_ms
from security.errors import Code
from simpul.registry.v1 import admin_pb2 as pb
from tests.unit.registry.running import Running, refusal, run
from tests.unit.registry.test_trust import Holders, init, publish, show

EVERY = [[role] for role in ROTATED] + [list(ROTATED)]


class Node:
    """A node's copy of the directory, made before the rotation and kept."""

    def __init__(self, folder: Path, home: Path, registry: Running) -> None:
        folder.mkdir()
        self._store = Store.open(folder / "state.db")
        root = RegistryHome(home).root_file.read_bytes()
        self._replica = Replica(folder / "directory", "ID", root, self._store)
        self._fetcher = HttpFetcher(registry.endpoints.directory)

    async def sync(self) -> int:
        """Fetches and verifies; returns the version."""
        found = await asyncio.to_thread(self._replica.sync, self._fetcher, now_ms())
        return found.version

    @property
    def members(self) -> set[str]:
        view = self._replica.view
        assert view is not None
        return {str(member) for member in view.members}

    def close(self) -> None:
        self._fetcher.close()
        self._store.close()


async def add(registry: Running, number: int) -> str:
    member = f"ID/DAERAH/53.{number:02}"
    await registry.admin.AddMember(pb.AddMemberRequest(member=member, legal_name=f"No. {number}"))
    return member


def key_ids(home: Path) -> dict[Role, str]:
    return {role: key.public_key.keyid for role, key in signers.load(home / "keys").items()}


async def rotate(registry: Running, roles: list[Role]) -> pb.RotateKeysResponse:
    return await registry.admin.RotateKeys(pb.RotateKeysRequest(roles=roles))


@pytest.mark.parametrize("roles", EVERY, ids="-".join)
async def test_nodes_follow_a_rotation_under_traffic(
    own_home: Path, tmp_path: Path, roles: list[Role]
) -> None:
    before = key_ids(own_home)
    async with run(own_home) as registry:
        node = Node(tmp_path / "n", own_home, registry)
        try:
            wanted = {await add(registry, 1)}
            await node.sync()
            adding = [asyncio.create_task(add(registry, number)) for number in range(2, 12)]
            answer = await rotate(registry, roles)
            wanted |= set(await asyncio.gather(*adding))
            wanted.add(await add(registry, 20))

            assert await node.sync() >= answer.directory_version
            assert wanted <= node.members
        finally:
            node.close()
    after = key_ids(own_home)
    assert {role for role in before if before[role] != after[role]} == set(roles)
    assert {item.role: item.key_id for item in answer.keys} == {r: after[r] for r in roles}
    # And it starts again, with them.
    async with run(own_home) as registry:
        await add(registry, 30)


async def test_what_the_old_key_signs_is_worth_nothing_afterwards(own_home: Path) -> None:
    old = shutil.copytree(own_home / "keys", own_home.parent / "stolen")
    async with run(own_home) as registry:
        await rotate(registry, [Role.MEMBER_BINS])
    listed = listed_keys(RegistryHome(own_home).directory)
    stolen = signers.load(old)[Role.MEMBER_BINS].public_key.keyid
    assert stolen not in listed[Role.MEMBER_BINS]


async def test_a_process_that_ends_after_the_publication_starts_with_the_new_key(
    own_home: Path,
) -> None:
    old = (own_home / "keys" / "member-bins.pem").read_bytes()
    async with run(own_home) as registry:
        await rotate(registry, [Role.MEMBER_BINS])
    # As it was before the key's file took its place.
    new = own_home / "keys" / "member-bins.pem"
    new.rename(own_home / "keys" / "member-bins.next.pem")
    new.write_bytes(old)

    async with run(own_home) as registry:
        await add(registry, 1)
    assert not (own_home / "keys" / "member-bins.next.pem").exists()


async def test_after_the_ceremony_bins_are_rotated_and_families_are_not(own_home: Path) -> None:
    async with run(own_home) as registry:
        await publish(registry, init(own_home, await show(registry), Holders()))
        before = key_ids(own_home)

        error, _ = await refusal(rotate(registry, [Role.MEMBERS]))
        assert error.code is Code.CONFIG_INVALID
        assert "the key of targets lists that of members" in error.message
        # Nothing is left of it.
        assert not list((own_home / "keys").glob("*.next.pem"))

        await rotate(registry, [Role.MEMBER_BINS, Role.CONTRACT_BINS])
        await add(registry, 1)
    assert key_ids(own_home)[Role.MEMBER_BINS] != before[Role.MEMBER_BINS]
    assert key_ids(own_home)[Role.MEMBERS] == before[Role.MEMBERS]


@pytest.mark.parametrize("roles", [[], ["timestamp"], ["member-bins", "x"], ["root"]])
async def test_other_roles_are_refused(own_home: Path, roles: list[str]) -> None:
    async with run(own_home) as registry:
        error, _ = await refusal(registry.admin.RotateKeys(pb.RotateKeysRequest(roles=roles)))
        assert error.code is Code.CHANGE_INVALID
        assert "root rotate --online" in error.message
