"""A key in a token as the certificate library takes one: for the authority that signs with it.

The library asks for a signature over a certificate's bytes, which are no text and have no domain of
ours: such a key is an authority's and nothing else's.
"""

from typing import NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from runtime.key_stores.token import TokenKey
from security.errors import Code, SimpulError
from security.keys import Algorithm

_HALF = 32


class TokenCertificateKey(ec.EllipticCurvePrivateKey):
    """A key on P-256 in a token; raises SimpulError HSM_KEY, when it is made of another."""

    def __init__(self, key: TokenKey) -> None:
        if key.public.algorithm is not Algorithm.ECDSA_P256_SHA256:
            raise SimpulError(
                Code.HSM_KEY,
                f"{key.reference.uri} isn't on P-256, and an authority's key must be: name another",
            )
        self._signer = key.signer
        self._public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public.key)

    def sign(self, data: object, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """ECDSA with SHA-256, in DER; waits for the token, and raises as `TokenSigner.sign`."""
        if not isinstance(signature_algorithm, ec.ECDSA) or not isinstance(
            signature_algorithm.algorithm, hashes.SHA256
        ):
            self._never()
        made = self._signer.sign(bytes(data))  # type: ignore[call-overload]  # bytes, as the library calls it
        r, s = (int.from_bytes(half, "big") for half in (made[:_HALF], made[_HALF:]))
        return encode_dss_signature(r, s)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Known without the token."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """256."""
        return self._public.key_size

    def exchange(self, *_: object) -> NoReturn:
        """Never."""
        self._never()

    def private_numbers(self) -> NoReturn:
        """Never."""
        self._never()

    def private_bytes(self, *_: object) -> NoReturn:
        """Never."""
        self._never()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def _never(self) -> NoReturn:
        raise SimpulError(Code.HSM_KEY, "a key in a token signs certificates, and nothing else")
