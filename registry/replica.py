"""A second home of the same registry, for a second process on the same database.

It has the same keys, authority and certificate, so nodes can't tell the two apart; its addresses
are its own. It has no witness key: a witness remembers what it cosigned in one place, and two that
don't know of each other could be made to cosign two histories of one journal.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from registry import config
from registry.home import RegistryHome
from runtime.files import make_private_folder, sync_folder, write_durably
from runtime.ports import free_addresses
from security.errors import Code, SimpulError

_COPIED: Final = ("keys", "ca", "tls", "directory", "operators")
_LISTEN: Final = re.compile(r"\s*listen\s*=")


def create(home: RegistryHome, path: Path, env: Mapping[str, str]) -> RegistryHome:
    """Makes a replica's home at `path`, with free addresses on loopback to be set as one likes.

    Raises:
        SimpulError: HOME_EXISTS; CONFIG_INVALID, when the registry's database is a file of its
            home, which no other process may use.
    """
    settings = config.load(home.settings_file, env)
    if settings.database.url == "":
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{home.path} keeps its members in a file, which is for one process: set database.url "
            "to a database of PostgreSQL first",
            key="database.url",
        )
    if path.exists():
        raise SimpulError(Code.HOME_EXISTS, f"{path} exists already: choose another folder")
    make_private_folder(path)
    try:
        for name in _COPIED:
            if (home.path / name).is_dir():
                shutil.copytree(home.path / name, path / name)
        write_durably(path / "root.json", home.root_file.read_bytes())
        make_private_folder(path / "run")
        text = home.settings_file.read_text()
        write_durably(path / "registry.toml", _elsewhere(text).encode())
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    sync_folder(path)
    return RegistryHome(path.absolute())


def _elsewhere(text: str) -> str:
    """The settings with another address in place of each that is listened on."""
    lines = text.splitlines()
    listening = [at for at, line in enumerate(lines) if _LISTEN.match(line)]
    if not listening:
        return text
    free = free_addresses(len(listening))
    for at, address in zip(listening, free, strict=True):
        lines[at] = f'listen = "{address}"'
    return "\n".join(lines) + "\n"
