"""Keys as everything else uses them: a key names its one algorithm, and signs under a domain.

A `PublicKey` that exists is valid: length, curve and size are checked when it is made, and what
verifies with it is loaded then, because verification is the hot path. Its id is
H("simpul/v1/key", the algorithm's number as one byte, the key).

A signature always covers a domain and the bytes, so that one made for one use is worth nothing in
another. The algorithm comes from the key's entry in a statement or the directory, never from what
is verified.

`generate` draws randomness, inside the cryptography library, and so does signing with all but
Ed25519; nothing else does. How keys are stored is not known here: `to_pem` is unencrypted.

Source: docs/spec, "Keys".
"""

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidSignature

from security import schemes
from security.errors import Code, SimpulError
from security.hashing import KEY, digest, signed_bytes
from security.schemes import Algorithm
from simpul.v1 import keys_pb2

__all__ = [
    "KEY_ID_BYTES",
    "MAX_SIGNATURE_BYTES",
    "Algorithm",
    "PrivateKey",
    "PublicKey",
    "generate",
]

KEY_ID_BYTES: Final = 32
# The hybrid's; RSA's at 8192 bits has 1024.
MAX_SIGNATURE_BYTES: Final = schemes.ED25519_SIGNATURE_BYTES + schemes.ML_DSA_SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, spelled as `keys.proto` says; raises SimpulError KEY_MALFORMED when made."""

    algorithm: Algorithm
    key: bytes = field(repr=False)
    # 32 bytes.
    key_id: bytes = field(init=False, compare=False)
    _verifier: schemes.Verifier = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        verifier = schemes.load_verifier(self.algorithm, self.key)
        object.__setattr__(self, "_verifier", verifier)
        object.__setattr__(self, "key_id", digest(KEY, bytes([self.algorithm]), self.key))

    def verify(self, domain: bytes, data: bytes, signature: bytes) -> None:
        """Check a signature over `data` under `domain`.

        Raises:
            SimpulError: SIGNATURE_INVALID if it isn't this key's, or isn't spelled as its
                algorithm's signatures are.
        """
        try:
            self._verifier(signature, signed_bytes(domain, data))
        except InvalidSignature:
            raise SimpulError(
                Code.SIGNATURE_INVALID,
                f"a signature isn't that of key {self.key_id.hex()[:16]} over these bytes; sign "
                "them as sent, with the key that is listed",
            ) from None

    def verify_plain(self, text: bytes, signature: bytes) -> None:
        """Check a signature over `text` itself, as formats from outside ask for (C2SP's notes).

        Raises:
            SimpulError: SIGNATURE_INVALID if it isn't this key's, or `text` isn't plain: with a
                zero byte it could be what a domain's signature covers.
        """
        try:
            if b"\x00" in text:
                raise InvalidSignature
            self._verifier(signature, text)
        except InvalidSignature:
            raise SimpulError(
                Code.SIGNATURE_INVALID,
                f"a signature isn't that of key {self.key_id.hex()[:16]} over this text; sign "
                "it as sent, with the key that is listed",
            ) from None

    def to_proto(self) -> keys_pb2.PublicKey:
        """Return the key as it travels."""
        return keys_pb2.PublicKey(algorithm=_TO_PROTO[self.algorithm], key=self.key)

    @classmethod
    def from_proto(cls, message: keys_pb2.PublicKey) -> Self:
        """Read a key that came; raises SimpulError KEY_MALFORMED."""
        try:
            algorithm = Algorithm(message.algorithm)
        except ValueError:
            raise SimpulError(
                Code.KEY_MALFORMED,
                f"a key names algorithm {message.algorithm}, which is none; make the key anew",
            ) from None
        return cls(algorithm, message.key)


class PrivateKey:
    """A private key. It shows itself nowhere: only `to_pem` gives it away."""

    __slots__ = ("_signer", "public")

    def __init__(self, signer: schemes.Signer) -> None:
        self._signer = signer
        self.public = PublicKey(signer.algorithm, signer.public_bytes())

    @property
    def on_device(self) -> bool:
        """Whether signing waits for something beside this machine: not to do in an event loop."""
        return False

    @classmethod
    def generate(cls, algorithm: Algorithm) -> Self:
        """Make a new key. Draws randomness, inside the cryptography library."""
        return cls(schemes.generate_signer(algorithm))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read what `to_pem` wrote; raises SimpulError KEY_MALFORMED for anything else."""
        return cls(schemes.load_signer(pem))

    def to_pem(self) -> bytes:
        """Return the key as PKCS #8 in PEM, unencrypted; the hybrid is two blocks."""
        return self._signer.to_pem()

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """Return the signature over `data` under `domain`, as `keys.proto` spells it."""
        return self._signer.sign(signed_bytes(domain, data))

    def sign_plain(self, text: bytes) -> bytes:
        """Return the signature over `text` itself, as formats from outside ask for (C2SP's notes).

        What domains' signatures cover always holds a zero byte, so no text is ever one of those.

        Raises:
            SimpulError: INTERNAL, for a text with a zero byte.
        """
        if b"\x00" in text:
            raise SimpulError(Code.INTERNAL, "what holds a zero byte isn't signed as a plain text")
        return self._signer.sign(text)

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.algorithm.name}, {self.public.key_id.hex()[:16]})"


def generate(algorithm: Algorithm) -> PrivateKey:
    """Make a new private key. Draws randomness, inside the cryptography library."""
    return PrivateKey.generate(algorithm)


_TO_PROTO: Final = {
    Algorithm.ED25519: keys_pb2.KEY_ALGORITHM_ED25519,
    Algorithm.ECDSA_P256_SHA256: keys_pb2.KEY_ALGORITHM_ECDSA_P256_SHA256,
    Algorithm.RSA_PSS_SHA256: keys_pb2.KEY_ALGORITHM_RSA_PSS_SHA256,
    Algorithm.ML_DSA_65: keys_pb2.KEY_ALGORITHM_ML_DSA_65,
    Algorithm.ED25519_ML_DSA_65: keys_pb2.KEY_ALGORITHM_ED25519_ML_DSA_65,
}
