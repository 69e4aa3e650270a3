"""Proofs that a change of the directory is in the public log: one file, verified from a root alone.

    format     simpul-log-proof-1
    number     the leaf's place, from 0
    leaf       the leaf, as it was hashed
    path       hashes to the root of the tree, nearest first
    timestamp  the signed timestamp whose head the path leads to
    roots      every root after the first, up to the one whose timestamp key signed

Verification, in order; each refusal is PROOF_INVALID:

1. Each root is signed by the one before, and by its own keys, from the root that is trusted on.
2. The timestamp is signed by the last root's key, and names a head.
3. The leaf is one, and the path leads from it to the head's root.

Expiry isn't judged: it was so when it was signed. Pure.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Timestamp

from registry.directory.roles import log_head
from security import merkle
from security.errors import Code, SimpulError
from security.merkle import leaf_hash
from security.public_log import Leaf, parse_leaf

FORMAT: Final = "simpul-log-proof-1"
MAX_BYTES: Final = 4 * 1024 * 1024
_KEYS: Final = {"format", "number", "leaf", "path", "timestamp", "roots"}


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof proves: this leaf, under that head, by a timestamp issued then."""

    number: int
    leaf: Leaf
    size: int
    root: bytes
    issued_at_ms: int


def make(leaves: Sequence[bytes], number: int, timestamp: bytes, roots: Sequence[bytes]) -> bytes:
    """A proof's file; raises SimpulError PROOF_INVALID where there is no such leaf."""
    path = merkle.inclusion_path([leaf_hash(leaf) for leaf in leaves], number)
    tree = {
        "format": FORMAT,
        "number": number,
        "leaf": leaves[number].decode(),
        "path": [item.hex() for item in path],
        "timestamp": json.loads(timestamp),
        "roots": [json.loads(root) for root in roots],
    }
    return json.dumps(tree, indent=1).encode() + b"\n"


def verify(proof: bytes, trusted_root: bytes) -> Proven:
    """What a proof proves; raises SimpulError PROOF_INVALID."""
    try:
        return _verify(_read(proof), trusted_root)
    except (RepositoryError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _invalid("it isn't signed by the federation's keys, or has another form") from error
    except SimpulError as error:
        if error.code is Code.PROOF_INVALID:
            raise
        raise _invalid(error.message) from error


def _verify(tree: dict[str, Any], trusted_root: bytes) -> Proven:
    # 1. Roots.
    root = Metadata[Root].from_bytes(trusted_root).signed
    for item in tree["roots"]:
        following = Metadata[Root].from_dict(item)
        if following.signed.version <= root.version:
            continue
        if following.signed.version != root.version + 1:
            raise _invalid(f"root {root.version + 1} is missing")
        for signer in (root, following.signed):
            signer.verify_delegate("root", following.signed_bytes, following.signatures)
        root = following.signed
    # 2. Timestamp.
    timestamp = Metadata[Timestamp].from_dict(tree["timestamp"])
    root.verify_delegate("timestamp", timestamp.signed_bytes, timestamp.signatures)
    head = log_head(timestamp.signed)
    if head is None:
        raise _invalid("its timestamp names no log")
    # 3. Leaf.
    data = str(tree["leaf"]).encode()
    leaf, number = parse_leaf(data), int(tree["number"])
    path = [bytes.fromhex(item) for item in tree["path"]]
    merkle.verify_inclusion(leaf_hash(data), number, head.size, path, head.root)
    at_ms = int(timestamp.signed.unrecognized_fields["x-issued-at"])
    return Proven(number, leaf, head.size, head.root, at_ms)


def _read(proof: bytes) -> dict[str, Any]:
    if len(proof) > MAX_BYTES:
        raise _invalid("it is too long")
    tree = json.loads(proof)
    if not isinstance(tree, dict) or tree.keys() != _KEYS or tree["format"] != FORMAT:
        raise _invalid("it is of another format")
    return tree


def _invalid(what: str) -> SimpulError:
    return SimpulError(Code.PROOF_INVALID, f"{what}; get the proof again from its source")
