"""The keys that sign the directory's roles: one file each, made once, read by whoever signs.

Ed25519, PKCS #8 PEM, 0600. Rules: a key is never overwritten; the program that publishes needs
`member-bins`, `contract-bins`, `snapshot` and `timestamp`; the other four may be carried away from
this machine, and what they alone can sign is then not signed here. `<role>.next.pem` is a key that
a proposed root lists: it takes the place of the role's key when that root is in force.

What a thief of the online four can do: list false members and contracts, hide true ones, and keep
nodes on an old directory no longer than its dead age. He can't change the policy, an authority or a
root key. Of all eight: everything that the federation's root can do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key

from registry.directory.layout import Role
from runtime.files import create_private, shred, sync_folder
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


def next_file(folder: Path, role: Role) -> Path:
    """Where the key lies that is to take the place of `role`'s."""
    return folder / f"{role}.next.pem"


def create_next(folder: Path, roles: Sequence[Role]) -> Signers:
    """Makes keys that are to take the place of those of `roles`, or gives those made before.

    Raises:
        SimpulError: CONFIG_INVALID, when one that is there is no key.
    """
    made = {}
    for role in roles:
        path = next_file(folder, role)
        if not path.exists():
            key = Ed25519PrivateKey.generate()
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            create_private(path, pem)
        made[role] = _signer(path, path.read_bytes())
    return made


def load_next(folder: Path) -> Signers:
    """The keys that are to take a role's place; raises as `create_next`."""
    there = [role for role in Role if next_file(folder, role).exists()]
    return create_next(folder, there)


def public_pem(file: Path) -> bytes:
    """The public key of a private key's file, in PEM; raises as `create_next`."""
    public = _private(file, file.read_bytes()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def settle(folder: Path, listed: Mapping[Role, Sequence[str]]) -> None:
    """Puts next keys in the place of those that `listed` names no more.

    Args:
        folder: The folder of the keys.
        listed: Key ids by role, of the root in force.
    """
    for role, signer in load_next(folder).items():
        if signer.public_key.keyid in listed.get(role, ()):
            next_file(folder, role).replace(key_file(folder, role))
            sync_folder(folder)


def destroy(folder: Path, role: Role) -> None:
    """Overwrites and removes the key of `role`, where it is here."""
    path = key_file(folder, role)
    if path.exists():
        shred(path)


def public(signers: Signers, role: Role) -> Key:
    """The public key of `role`, as TUF's metadata list it."""
    return signers[role].public_key


def _signer(path: Path, pem: bytes) -> CryptoSigner:
    return CryptoSigner(_private(path, pem))


def _private(path: Path, pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{path} holds no private key in PEM: put the right file back"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SimpulError(Code.CONFIG_INVALID, f"{path} is not Ed25519: put the right file back")
    return key
