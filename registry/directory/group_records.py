"""The target files of federation-wide groups: bytes that are a function of the values alone."""

from registry.directory.records import unacceptable
from security.errors import SimpulError
from security.group import GroupView, group_message, group_path, parse_group


def group_file(group: GroupView, federation: str) -> tuple[str, bytes]:
    """The path and content of a group's target file.

    Raises:
        SimpulError: CHANGE_INVALID, when a node would refuse it.
    """
    path = group_path(group.name)
    data = group_message(group, federation).SerializeToString(deterministic=True)
    try:
        parse_group(federation, path, data)
    except SimpulError as error:
        raise unacceptable(f"group {group.name}", error) from error
    return path, data
