"""Private keys that lie encrypted in a file: opened and closed here, and used elsewhere.

Source: RFC 7468, section 11 ("ENCRYPTED PRIVATE KEY"); RFC 5958.
"""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from security.errors import Code, SimpulError

_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def is_encrypted(pem: bytes) -> bool:
    """Whether a file in PEM begins with an encrypted key."""
    return pem.lstrip().startswith(_ENCRYPTED)


def encrypt_pem(pem: bytes, passphrase: bytes) -> bytes:
    """Return a private key in PEM encrypted. Draws randomness, inside the cryptography library.

    Raises:
        SimpulError: KEY_MALFORMED: it is no one key in the clear.
    """
    if pem.count(b"-----BEGIN") != 1:
        raise SimpulError(Code.KEY_MALFORMED, "a key of two parts can't be kept encrypted")
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SimpulError(Code.KEY_MALFORMED, "it is no private key in PEM") from None
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))


def decrypt_pem(pem: bytes, passphrase: bytes) -> bytes:
    """Return an encrypted private key in the clear, as PKCS #8 in PEM.

    Raises:
        SimpulError: KEY_MALFORMED: it is none, or the passphrase is another.
    """
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SimpulError(
            Code.KEY_MALFORMED, "it is no encrypted key in PEM, or its passphrase is another one"
        ) from None
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
