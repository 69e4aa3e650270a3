"""The keys that sign the directory's roles: one file each, made once, read by whoever signs.

Ed25519, PKCS #8 PEM, 0600. Rules: a key is never overwritten; the program that publishes needs
`member-bins`, `contract-bins`, `snapshot` and `timestamp`; the other four may be carried away from
this machine, and what they alone can sign is then not signed here.

What a thief of the online four can do: list false members and contracts, hide true ones, and keep
nodes on an old directory no longer than its dead age. He can't change the policy, an authority or a
root key. Of all eight: everything that the federation's root can do.
"""

from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key

from registry.directory.layout import Role
from runtime.files import create_private
from security.errors import Code, SimpulError

ONLINE = frozenset({Role.MEMBER_BINS, Role.CONTRACT_BINS, Role.SNAPSHOT, Role.TIMESTAMP})

Signers = Mapping[Role, CryptoSigner]


def key_file(folder: Path, role: Role) -> Path:
    """Where the key of `role` lies."""
    return folder / f"{role}.pem"


def create(folder: Path) -> Signers:
    """Makes all eight keys in `folder`, which exists and holds none of them.

    Raises:
        FileExistsError: when one is there; it is untouched.
    """
    made = {}
    for role in Role:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        create_private(key_file(folder, role), pem)
        made[role] = CryptoSigner(key)
    return made


def load(folder: Path) -> Signers:
    """The keys that are in `folder`.

    Raises:
        SimpulError: CONFIG_INVALID, when a key that publishing needs is missing, or one is no key.
    """
    found = {}
    for role in Role:
        path = key_file(folder, role)
        try:
            pem = path.read_bytes()
        except FileNotFoundError as error:
            if role in ONLINE:
                raise SimpulError(
                    Code.CONFIG_INVALID,
                    f"{path} is missing, and nothing can be published without it: put it back",
                ) from error
            continue
        found[role] = _signer(path, pem)
    return found


def public(signers: Signers, role: Role) -> Key:
    """The public key of `role`, as TUF's metadata list it."""
    return signers[role].public_key


def _signer(path: Path, pem: bytes) -> CryptoSigner:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{path} holds no private key in PEM: put the right file back"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SimpulError(Code.CONFIG_INVALID, f"{path} is not Ed25519: put the right file back")
    return CryptoSigner(key)
