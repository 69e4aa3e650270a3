"""Groups of members that the registry's operators keep: who is in one, by its name.

    members/~groups/<name>   GroupRecord

A provider may give access to whoever is in a group, by a template that its own operator approves.
That is the only thing that a group is for: of itself it permits nothing. No class of members is
called `~groups`, so no member's file is ever where a group's is.

It is the registry's word, like all of a member's record but its statement.

Source: docs/spec, "Directory: groups"; simpul/v1/directory.proto, `GroupRecord`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from security import strict
from security.directory_records import FORMAT_VERSION, MEMBERS_FOLDER, Files, refused
from security.errors import Code, SimpulError
from security.hashing import sha256
from security.identifiers import MemberId
from simpul.v1 import directory_pb2

GROUPS_FOLDER: Final = "~groups"
# A country has under 1,500 members.
MAX_MEMBERS: Final = 10_000
MAX_GROUP_BYTES: Final = 1024 * 1024
MAX_TITLE_CHARS: Final = 200

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group. `number` rises with each change; a retired one is empty, for good."""

    name: str
    number: int
    title: str
    members: frozenset[MemberId]
    retired: bool = False
    # Of the file.
    sha256: bytes = field(default=b"", compare=False, repr=False)


# By name.
Groups = Mapping[str, GroupView]


def group_path(name: str) -> str:
    """The path of a group's target file."""
    return f"{MEMBERS_FOLDER}/{GROUPS_FOLDER}/{name}"


def is_group_path(path: str) -> bool:
    """Whether a path below `members/` is a group's, and no member's."""
    return path.startswith(f"{MEMBERS_FOLDER}/{GROUPS_FOLDER}/")


def check_group_name(name: str) -> None:
    """Check that `name` may name a group (`dinas-pariwisata`); raises CHANGE_INVALID."""
    if _NAME.fullmatch(name) is None:
        raise _invalid(f"{name[:80]!a} is no name of a group like dinas-pariwisata, in lower case")


def check_group_title(title: str) -> None:
    """Check a title: one line; raises CHANGE_INVALID."""
    if not 0 < len(title) <= MAX_TITLE_CHARS or not title.isprintable():
        raise _invalid(f"a group's title is one line of {MAX_TITLE_CHARS} letters at most")


def group_message(group: GroupView, federation: str) -> directory_pb2.GroupRecord:
    """A group as it is published; members in order, so that the same group has the same bytes."""
    return directory_pb2.GroupRecord(
        version=FORMAT_VERSION,
        federation=federation,
        name=group.name,
        number=group.number,
        title=group.title,
        members=sorted(map(str, group.members)),
        retired=group.retired,
    )


def parse_group(federation: str, path: str, data: bytes) -> GroupView:
    """Read a group's file; raises SimpulError DIRECTORY_UNTRUSTED (step 4)."""
    try:
        message = strict.parse(directory_pb2.GroupRecord, data, MAX_GROUP_BYTES)
        if message.version != FORMAT_VERSION or message.federation != federation:
            raise _invalid("its version or federation is another")
        check_group_name(message.name)
        check_group_title(message.title)
        if path != group_path(message.name):
            raise _invalid("it is another group's")
        return GroupView(
            name=message.name,
            number=_number(message),
            title=message.title,
            members=_members(federation, message),
            retired=message.retired,
            sha256=sha256(data),
        )
    except SimpulError as error:
        raise refused(4, path, error.message) from None


def read_groups(
    federation: str, shown: Files, paths: Iterable[str], known: Groups | None
) -> Groups:
    """Read all groups; of `known`, files that are the same aren't parsed again.

    Raises:
        SimpulError: DIRECTORY_UNTRUSTED (step 4).
    """
    before = {} if known is None else {group_path(name): group for name, group in known.items()}
    found: dict[str, GroupView] = {}
    for path in paths:
        kept = before.get(path)
        if kept is None or kept.sha256 != shown.digest(path):
            kept = parse_group(federation, path, shown.read(path))
        found[kept.name] = kept
    return MappingProxyType(found)


def _number(message: directory_pb2.GroupRecord) -> int:
    if message.number == 0:
        raise _invalid("its number is missing")
    return message.number


def _members(federation: str, message: directory_pb2.GroupRecord) -> frozenset[MemberId]:
    if len(message.members) > MAX_MEMBERS:
        raise _invalid(f"it has over {MAX_MEMBERS} members")
    if message.retired and message.members:
        raise _invalid("it is retired, and has members")
    members = [MemberId.parse(item) for item in message.members]
    if any(member.federation != federation for member in members):
        raise _invalid("a member is of another federation")
    texts = list(message.members)
    if texts != sorted(set(texts)):
        raise _invalid("its members aren't in order, each once")
    return frozenset(members)


def _invalid(what: str) -> SimpulError:
    return SimpulError(Code.CHANGE_INVALID, what)
