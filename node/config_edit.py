"""Changes one value in `node.toml`, and leaves the rest as its operator wrote it.

The line of the key is replaced, or added at the end of its section; then the file is read again,
and what was meant must have come of it: a file that is written in another way is refused and left.
"""

import json
import tomllib
from pathlib import Path

from runtime.files import write_durably
from security.errors import Code, SimpulError


def replace_value(file: Path, section: str, key: str, value: str | list[str]) -> None:
    """Sets `section.key`.

    Raises:
        SimpulError: CONFIG_INVALID, when the file is written so that one line can't do it.
    """
    text = file.read_text(encoding="utf-8")
    wanted = tomllib.loads(text)
    wanted.setdefault(section, {})[key] = value
    changed = "\n".join(_edited(text.splitlines(), section, f"{key} = {_toml(value)}", key)) + "\n"
    try:
        done = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        done = False
    if not done:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{file} is written so that {section}.{key} can't be changed in one line: set it to "
            f"{_toml(value)} by hand",
            key=f"{section}.{key}",
        )
    write_durably(file, changed.encode())


def _edited(lines: list[str], section: str, new: str, key: str) -> list[str]:
    head = f"[{section}]"
    starts = [index for index, line in enumerate(lines) if line.strip() == head]
    if not starts:
        return [*lines, "", head, new]
    at = starts[0] + 1
    while at < len(lines) and not lines[at].lstrip().startswith("["):
        if lines[at].partition("=")[0].strip() == key:
            return [*lines[:at], new, *lines[at + 1 :]]
        at += 1
    return [*lines[: starts[0] + 1], new, *lines[starts[0] + 1 :]]


def _toml(value: str | list[str]) -> str:
    # A JSON text or list of texts is a TOML one too.
    return json.dumps(value, ensure_ascii=False)
