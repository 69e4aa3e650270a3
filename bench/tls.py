"""A certificate for the pairs that Simpul is compared with: one authority, one leaf, P-256.

Both ends show the same leaf. The algorithm is that of Simpul's own links.
"""

from pathlib import Path
from typing import Final

from runtime.files import write_private
from security.certificate import issue, make_authority, make_key, make_request, to_pem
from security.identifiers import NodeId

_NODE: Final = NodeId.parse("ID/~bench-1")
# What the leaf is issued to, and what a client checks.
NAME: Final = _NODE.dns_name


def write_tls(folder: Path, now_ms: int) -> Path:
    """Write `ca.pem`, `cert.pem` and `key.pem` into a new folder; returns it."""
    folder.mkdir()
    authority_key, authority = make_authority("bench", now_ms, 1)
    key = make_key()
    leaf = issue(authority_key, authority, make_request(key, _NODE), _NODE, now_ms, 2, 2)
    write_private(folder / "key.pem", key)
    write_private(folder / "cert.pem", to_pem(leaf))
    write_private(folder / "ca.pem", to_pem(authority))
    return folder
