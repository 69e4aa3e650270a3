"""Private keys that lie encrypted in a file: opened here, and used elsewhere.

Source: RFC 7468, section 11 ("ENCRYPTED PRIVATE KEY"); RFC 5958.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from security.errors import Code, SimpulError


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
