"""`simpul registry member import` against a running registry: the whole country in one command."""

import asyncio
import time
from pathlib import Path

import pytest

from cli.registry_import import Done, import_file, read_rows
from examples.data import MEMBERS
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2
from tests.unit.registry.running import run

COUNTRY = 38 + 514


# On PostgreSQL it takes a minute of a busy machine, and shows nothing more.
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_the_country_is_listed_by_one_command(own_home: Path) -> None:
    async with run(own_home) as registry:
        before = (await registry.admin.Status(admin_pb2.StatusRequest())).directory_version

        async def import_(*, dry_run: bool) -> Done:
            return await asyncio.to_thread(
                import_file, own_home, MEMBERS, dry_run=dry_run, skip_bad=False, quiet=True
            )

        tried = await import_(dry_run=True)
        assert (tried.listed, tried.errors, tried.directory_version) == (COUNTRY, (), 0)
        began_s = time.monotonic()
        done = await import_(dry_run=False)
        took_s = time.monotonic() - began_s

        status = await registry.admin.Status(admin_pb2.StatusRequest())
        assert (done.listed, status.members) == (COUNTRY, COUNTRY)
        # One publication, and everybody who waits for it is told one version.
        assert status.directory_version == before + 1 == done.directory_version
        # It takes about a second; this is for a machine that has much else to do.
        assert took_s < 20
        again = await import_(dry_run=False)
        assert {error.code for error in again.errors} == {"ALREADY_EXISTS"}
        assert len(again.errors) == COUNTRY


async def test_progress_is_told_before_the_end(own_home: Path) -> None:
    async with run(own_home) as registry:
        request = admin_pb2.ImportMembersRequest(rows=read_rows(MEMBERS)[:120], dry_run=True)
        told = [answer async for answer in registry.admin.ImportMembers(request)]
    assert [(answer.done, answer.finished) for answer in told] == [
        (50, False),
        (100, False),
        (120, True),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "member\nID/DAERAH/1",
        "member,legal_name,secret\na,b,c",
        "member,legal_name,member\na,b,c",
        "member,legal_name\na,b,c",
        "member,legal_name\na",
        'member,legal_name\n"a,b',
        b"member,legal_name\n\xff,b",
    ],
)
def test_what_is_no_table_of_members_is_refused(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "members.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SimpulError) as caught:
        read_rows(file)
    assert caught.value.code is Code.CHANGE_INVALID


def test_a_line_is_read_with_its_contacts(tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text(
        "\ufeffmember,legal_name,regions,data_protection_name,data_protection_email\r\n"
        'ID/DAERAH/53.15,"Manggarai, Barat",53.15 53.16,Bagian Hukum,a@b.id\r\n'
        "ID/DAERAH/53.16,Ngada,,,\r\n",
        encoding="utf-8",
    )
    first, second = read_rows(file)
    assert (first.line, first.member.legal_name) == (2, "Manggarai, Barat")
    assert list(first.member.region_codes) == ["53.15", "53.16"]
    assert first.member.contacts[0].kind == "data_protection"
    assert not second.member.contacts
