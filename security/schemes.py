"""The five signature schemes: how each one's keys and signatures are spelled, checked and used.

                    key                              signature
    Ed25519         32 bytes                         64 bytes
    ECDSA P-256     65 bytes, uncompressed point     64 bytes: r, s
    RSA-PSS         DER SubjectPublicKeyInfo         as long as the modulus
    ML-DSA-65       1952 bytes                       3309 bytes
    hybrid          Ed25519's, then ML-DSA-65's      likewise; both must verify

The cryptography is the library's; this file holds the spelling. Signing with ECDSA, RSA-PSS and
ML-DSA draws randomness inside the library, and so does `generate_signer`; nothing else here does.

It knows no domains and no key ids: `keys` does, and is what other modules use.

Source: docs/spec, "Keys"; protos/simpul/v1/keys.proto.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from security import ed25519_points
from security.errors import Code, SimpulError

ED25519_KEY_BYTES: Final = ed25519_points.KEY_BYTES
ED25519_SIGNATURE_BYTES: Final = 64
P256_KEY_BYTES: Final = 65
P256_SIGNATURE_BYTES: Final = 64
ML_DSA_KEY_BYTES: Final = 1952
ML_DSA_SIGNATURE_BYTES: Final = 3309
RSA_MIN_BITS: Final = 2048
# Beyond this, verifying one signature would cost what thousands of others do.
RSA_MAX_BITS: Final = 8192
RSA_NEW_BITS: Final = 3072
RSA_MIN_EXPONENT: Final = 65537
RSA_SALT_BYTES: Final = 32

_P256_HALF: Final = 32
_UNCOMPRESSED: Final = 4
_PEM_BLOCK: Final = re.compile(
    rb"-----BEGIN PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+-----END PRIVATE KEY-----\n"
)


class Algorithm(IntEnum):
    """A signature scheme; numbers are those of `simpul.v1.KeyAlgorithm`."""

    ED25519 = 1
    ECDSA_P256_SHA256 = 2
    RSA_PSS_SHA256 = 3
    ML_DSA_65 = 4
    ED25519_ML_DSA_65 = 5


# Takes a signature and the signed bytes; raises InvalidSignature.
Verifier = Callable[[bytes, bytes], None]


class Signer(Protocol):
    """A private key of one scheme."""

    @property
    def algorithm(self) -> Algorithm:
        """The scheme."""

    def public_bytes(self) -> bytes:
        """Return the public key as `keys.proto` spells it."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data` as `keys.proto` spells it."""

    def to_pem(self) -> bytes:
        """Return the private key as PKCS #8 in PEM, unencrypted; the hybrid is two blocks."""


@dataclass(frozen=True, slots=True)
class Ed25519Signer:
    """RFC 8032."""

    _key: ed25519.Ed25519PrivateKey

    @property
    def algorithm(self) -> Algorithm:
        """Ed25519."""
        return Algorithm.ED25519

    def public_bytes(self) -> bytes:
        """32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(data)

    def to_pem(self) -> bytes:
        """One block."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class EcdsaSigner:
    """FIPS 186-5 on P-256, with SHA-256."""

    _key: ec.EllipticCurvePrivateKey

    @property
    def algorithm(self) -> Algorithm:
        """ECDSA."""
        return Algorithm.ECDSA_P256_SHA256

    def public_bytes(self) -> bytes:
        """65 bytes."""
        return self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_P256_HALF, "big") + s.to_bytes(_P256_HALF, "big")

    def to_pem(self) -> bytes:
        """One block."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class RsaSigner:
    """RFC 8017 RSASSA-PSS, with SHA-256."""

    _key: rsa.RSAPrivateKey

    @property
    def algorithm(self) -> Algorithm:
        """RSA-PSS."""
        return Algorithm.RSA_PSS_SHA256

    def public_bytes(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        """As long as the modulus."""
        return self._key.sign(data, _pss(), hashes.SHA256())

    def to_pem(self) -> bytes:
        """One block."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class MlDsaSigner:
    """FIPS 204, ML-DSA-65, with an empty context."""

    _key: mldsa.MLDSA65PrivateKey

    @property
    def algorithm(self) -> Algorithm:
        """ML-DSA-65."""
        return Algorithm.ML_DSA_65

    def public_bytes(self) -> bytes:
        """1952 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """3309 bytes."""
        return self._key.sign(data)

    def to_pem(self) -> bytes:
        """One block; its content is the seed."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class HybridSigner:
    """Ed25519 and ML-DSA-65, each over the same bytes."""

    _classical: Ed25519Signer
    _post_quantum: MlDsaSigner

    @property
    def algorithm(self) -> Algorithm:
        """The hybrid."""
        return Algorithm.ED25519_ML_DSA_65

    def public_bytes(self) -> bytes:
        """32 and 1952 bytes."""
        return self._classical.public_bytes() + self._post_quantum.public_bytes()

    def sign(self, data: bytes) -> bytes:
        """64 and 3309 bytes."""
        return self._classical.sign(data) + self._post_quantum.sign(data)

    def to_pem(self) -> bytes:
        """Two blocks, Ed25519's first."""
        return self._classical.to_pem() + self._post_quantum.to_pem()


def generate_signer(algorithm: Algorithm) -> Signer:
    """Make a new private key. Draws randomness, inside the cryptography library."""
    match algorithm:
        case Algorithm.ED25519:
            return Ed25519Signer(ed25519.Ed25519PrivateKey.generate())
        case Algorithm.ECDSA_P256_SHA256:
            return EcdsaSigner(ec.generate_private_key(ec.SECP256R1()))
        case Algorithm.RSA_PSS_SHA256:
            return RsaSigner(rsa.generate_private_key(RSA_MIN_EXPONENT, RSA_NEW_BITS))
        case Algorithm.ML_DSA_65:
            return MlDsaSigner(mldsa.MLDSA65PrivateKey.generate())
        case Algorithm.ED25519_ML_DSA_65:
            return HybridSigner(
                Ed25519Signer(ed25519.Ed25519PrivateKey.generate()),
                MlDsaSigner(mldsa.MLDSA65PrivateKey.generate()),
            )


def load_signer(pem: bytes) -> Signer:
    """Read a private key that `to_pem` wrote; the algorithm is the one that the file holds.

    Raises:
        SimpulError: KEY_MALFORMED for anything else, encrypted keys included.
    """
    blocks = _PEM_BLOCK.findall(pem)
    if b"".join(blocks) != pem or len(blocks) == 0:
        raise _bad_pem("holds more or less than unencrypted PKCS #8 keys in PEM")
    signers = [_load_block(block) for block in blocks]
    match signers:
        case [signer]:
            return signer
        case [Ed25519Signer() as classical, MlDsaSigner() as post_quantum]:
            return HybridSigner(classical, post_quantum)
        case _:
            raise _bad_pem("holds keys that don't belong together")


def load_verifier(algorithm: Algorithm, key: bytes) -> Verifier:
    """Check a public key and return what verifies with it; the key is loaded once, here.

    Raises:
        SimpulError: KEY_MALFORMED if the bytes are no key of this algorithm.
    """
    match algorithm:
        case Algorithm.ED25519:
            return _ed25519_verifier(key)
        case Algorithm.ECDSA_P256_SHA256:
            return _ecdsa_verifier(key)
        case Algorithm.RSA_PSS_SHA256:
            return _rsa_verifier(key)
        case Algorithm.ML_DSA_65:
            return _ml_dsa_verifier(key)
        case Algorithm.ED25519_ML_DSA_65:
            return _hybrid_verifier(key)


def _ed25519_verifier(key: bytes) -> Verifier:
    ed25519_points.check_point(key)
    return ed25519.Ed25519PublicKey.from_public_bytes(key).verify


def _ecdsa_verifier(key: bytes) -> Verifier:
    if len(key) != P256_KEY_BYTES or key[0] != _UNCOMPRESSED:
        raise _malformed("a P-256 key is 65 bytes that begin with 4")
    try:
        # Refuses what isn't on the curve.
        loaded = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError:
        raise _malformed("a P-256 key is no point of the curve") from None

    def verify(signature: bytes, data: bytes) -> None:
        if len(signature) != P256_SIGNATURE_BYTES:
            raise InvalidSignature
        r = int.from_bytes(signature[:_P256_HALF], "big")
        s = int.from_bytes(signature[_P256_HALF:], "big")
        loaded.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))

    return verify


def _rsa_verifier(key: bytes) -> Verifier:
    try:
        loaded = load_der_public_key(key)
    except (ValueError, UnsupportedAlgorithm):
        raise _malformed("an RSA key is no DER SubjectPublicKeyInfo") from None
    if not isinstance(loaded, rsa.RSAPublicKey):
        raise _malformed("a key of another kind stands where an RSA key must")
    # One spelling of each key, so that it has one id.
    if loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != key:
        raise _malformed("an RSA key isn't spelled as DER spells it")
    if not RSA_MIN_BITS <= loaded.key_size <= RSA_MAX_BITS:
        raise _malformed(f"an RSA key has {loaded.key_size} bits, not {RSA_MIN_BITS} or more")
    exponent = loaded.public_numbers().e
    if exponent < RSA_MIN_EXPONENT or exponent % 2 == 0:
        raise _malformed("an RSA key's exponent is even or below 65537")

    def verify(signature: bytes, data: bytes) -> None:
        loaded.verify(signature, data, _pss(), hashes.SHA256())

    return verify


def _ml_dsa_verifier(key: bytes) -> Verifier:
    if len(key) != ML_DSA_KEY_BYTES:
        raise _malformed(f"an ML-DSA-65 key has {len(key)} bytes, not {ML_DSA_KEY_BYTES}")
    return mldsa.MLDSA65PublicKey.from_public_bytes(key).verify


def _hybrid_verifier(key: bytes) -> Verifier:
    classical = _ed25519_verifier(key[:ED25519_KEY_BYTES])
    post_quantum = _ml_dsa_verifier(key[ED25519_KEY_BYTES:])

    def verify(signature: bytes, data: bytes) -> None:
        classical(signature[:ED25519_SIGNATURE_BYTES], data)
        post_quantum(signature[ED25519_SIGNATURE_BYTES:], data)

    return verify


def _load_block(block: bytes) -> Signer:
    try:
        key = load_pem_private_key(block, password=None)
    except (ValueError, UnsupportedAlgorithm):
        raise _bad_pem("holds no key that can be read") from None
    match key:
        case ed25519.Ed25519PrivateKey():
            return Ed25519Signer(key)
        case ec.EllipticCurvePrivateKey() if isinstance(key.curve, ec.SECP256R1):
            return EcdsaSigner(key)
        case rsa.RSAPrivateKey():
            return RsaSigner(key)
        case mldsa.MLDSA65PrivateKey():
            return MlDsaSigner(key)
        case _:
            raise _bad_pem("holds a key of another kind")


def _pss() -> padding.PSS:
    return padding.PSS(padding.MGF1(hashes.SHA256()), RSA_SALT_BYTES)


def _malformed(what: str) -> SimpulError:
    return SimpulError(Code.KEY_MALFORMED, f"{what}; make the key anew")


def _bad_pem(what: str) -> SimpulError:
    return SimpulError(
        Code.KEY_MALFORMED, f"the key file {what}; restore it from a good copy, or make a new key"
    )
