"""The contract of places, kept by a folder and by a real store that speaks S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.journal.archive.places import (
    ArchivePlace,
    FolderPlace,
    parse_archive_place,
    read_credentials,
)
from node.journal.archive.run import archive_due
from security.errors import Code, SimpulError
from tests.support.s3 import BUCKET, s3_store
from tests.unit.node.journal.archive.support import DAY_MS, Written, archived, run_of
from tests.unit.node.journal.builder import NOW_MS, Link, unary_call


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_store() as env:
        yield env


@pytest.fixture(params=["folder", "s3"])
def archives(request: pytest.FixtureRequest, tmp_path: Path, s3: dict[str, str]) -> ArchivePlace:
    if request.param == "folder":
        return parse_archive_place(str(tmp_path / "archives"), {})
    return parse_archive_place(f"s3://{BUCKET}/{tmp_path.name}/journal", s3)


def staged(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "staged"
    path.write_bytes(data)
    return path


def test_what_is_put_is_read_and_listed(archives: ArchivePlace, tmp_path: Path) -> None:
    assert archives.names() == ()
    data = bytes(range(256)) * 4096
    archives.put("log/0/b", staged(tmp_path, data))
    archives.put("log/0/a", staged(tmp_path, b"a"))
    archives.put("log/1/c", staged(tmp_path, b""))
    assert b"".join(archives.read("log/0/b")) == data
    assert b"".join(archives.read("log/1/c")) == b""
    assert archives.names() == ("log/0/a", "log/0/b", "log/1/c")
    assert archives.names("log/0") == ("log/0/a", "log/0/b")
    assert archives.names("log/2") == ()


def test_a_large_one_goes_in_parts(archives: ArchivePlace, tmp_path: Path) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(5_000_000))
    archives.put("large", staged(tmp_path, data))
    assert b"".join(archives.read("large")) == data


def test_what_is_not_there_is_told(archives: ArchivePlace) -> None:
    with pytest.raises(SimpulError) as caught:
        b"".join(archives.read("log/none"))
    assert caught.value.code is Code.NOT_FOUND


def test_a_journal_is_archived_there(archives: ArchivePlace, path: Path, tmp_path: Path) -> None:
    Written(path).add(unary_call(Link(), 1))
    with run_of(path, archives, tmp_path) as run:
        (made,) = archive_due(run, NOW_MS + DAY_MS)
    assert archives.names() == (made.name,)
    assert archived(path) == (made,)
    assert made.place == str(archives)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    place = FolderPlace(tmp_path / "file" / "archives")
    with pytest.raises(SimpulError) as caught:
        place.put("a", staged(tmp_path, b"a"))
    assert caught.value.code is Code.ARCHIVE_FAILED


def test_a_bucket_that_is_not_there_is_told(s3: dict[str, str], tmp_path: Path) -> None:
    place = parse_archive_place("s3://none-of-ours/journal", s3)
    with pytest.raises(SimpulError) as caught:
        place.put("a", staged(tmp_path, b"a"))
    assert caught.value.code in {Code.ARCHIVE_FAILED, Code.NOT_FOUND}


@pytest.mark.parametrize(
    "text", ["", "http://bucket/x", "s3://", "s3://key:secret@bucket/x", "s3://bucket/x?a=b"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_archive_place(text, {})
    assert caught.value.code is Code.CONFIG_INVALID
    assert "secret" not in caught.value.message


def test_credentials_come_from_awss_file(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = one\naws_secret_access_key = two\nregion = here\n"
        "[other]\naws_access_key_id = three\n"
    )
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert read_credentials(env) == {"access_key_id": "one", "secret_access_key": "two"}
    assert read_credentials({**env, "AWS_PROFILE": "other"}) == {"access_key_id": "three"}
    assert read_credentials({**env, "AWS_PROFILE": "none"}) == {}
    assert read_credentials({"HOME": str(tmp_path)}) == {}
    file.write_text("no section")
    with pytest.raises(SimpulError) as caught:
        read_credentials(env)
    assert caught.value.code is Code.CONFIG_INVALID


def test_without_credentials_nobody_is_asked_for_any() -> None:
    with pytest.raises(SimpulError) as caught:
        parse_archive_place(f"s3://{BUCKET}/x", {})
    assert caught.value.code is Code.CONFIG_INVALID
    assert "AWS_ACCESS_KEY_ID" in caught.value.message


def test_the_files_credentials_reach_the_store(s3: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = one\naws_secret_access_key = two\n")
    env = {
        "AWS_SHARED_CREDENTIALS_FILE": str(file),
        "AWS_ENDPOINT_URL": s3["AWS_ENDPOINT_URL"],
    }
    place = parse_archive_place(f"s3://{BUCKET}/{tmp_path.name}", env)
    place.put("a", staged(tmp_path, b"a"))
    assert place.names() == ("a",)
