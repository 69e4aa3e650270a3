"""Keys of all five algorithms: spelling, checks, signatures, files."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.hashing import SEAL, STATEMENT_SIGNATURE, digest
from security.keys import MAX_SIGNATURE_BYTES, Algorithm, PrivateKey, PublicKey, generate
from simpul.v1 import keys_pb2
from tests.conformance import fixed

KEYS = {algorithm: fixed.key("test", algorithm) for algorithm in Algorithm}
SIZES = {
    Algorithm.ED25519: (32, 64),
    Algorithm.ECDSA_P256_SHA256: (65, 64),
    Algorithm.RSA_PSS_SHA256: (294, 256),
    Algorithm.ML_DSA_65: (1952, 3309),
    Algorithm.ED25519_ML_DSA_65: (1984, 3373),
}
EVERY = pytest.mark.parametrize("algorithm", Algorithm)

P256_OFF_CURVE = b"\x04" + b"\x01" * 64
# DER of two object identifiers, rsaEncryption and id-RSASSA-PSS, of one length.
RSA_NAME = bytes.fromhex("06092a864886f70d010101")
RSA_PSS_NAME = bytes.fromhex("06092a864886f70d01010a")
_P256 = KEYS[Algorithm.ECDSA_P256_SHA256].public.key
_RSA = KEYS[Algorithm.RSA_PSS_SHA256].public.key
_ED25519 = KEYS[Algorithm.ED25519].public.key
_ML_DSA = KEYS[Algorithm.ML_DSA_65].public.key


def rsa_public(bits: int, exponent: int = 65537) -> bytes:
    key = rsa.RSAPublicNumbers(exponent, (1 << (bits - 1)) | 1).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


BAD_KEYS = {
    "Ed25519, short": (Algorithm.ED25519, _ED25519[:-1]),
    "Ed25519, small order": (Algorithm.ED25519, b"\x01" + b"\x00" * 31),
    "P-256, compressed": (Algorithm.ECDSA_P256_SHA256, bytes([2 + _P256[64] % 2]) + _P256[1:33]),
    "P-256, hybrid form": (Algorithm.ECDSA_P256_SHA256, bytes([6 + _P256[64] % 2]) + _P256[1:]),
    "P-256, off the curve": (Algorithm.ECDSA_P256_SHA256, P256_OFF_CURVE),
    "P-256, infinity": (Algorithm.ECDSA_P256_SHA256, b"\x00"),
    "P-256, long": (Algorithm.ECDSA_P256_SHA256, _P256 + b"\x00"),
    "RSA, 2047 bits": (Algorithm.RSA_PSS_SHA256, rsa_public(2047)),
    "RSA, 8193 bits": (Algorithm.RSA_PSS_SHA256, rsa_public(8193)),
    "RSA, small exponent": (Algorithm.RSA_PSS_SHA256, rsa_public(2048, 3)),
    "RSA, trailing byte": (Algorithm.RSA_PSS_SHA256, _RSA + b"\x00"),
    # The same modulus under the name of another algorithm: a second spelling, a second id.
    "RSA, as RSASSA-PSS": (Algorithm.RSA_PSS_SHA256, _RSA.replace(RSA_NAME, RSA_PSS_NAME)),
    "RSA, no DER": (Algorithm.RSA_PSS_SHA256, b"\x30"),
    "RSA, another key": (
        Algorithm.RSA_PSS_SHA256,
        ec.derive_private_key(1, ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ),
    "ML-DSA, short": (Algorithm.ML_DSA_65, _ML_DSA[:-1]),
    "ML-DSA, long": (Algorithm.ML_DSA_65, _ML_DSA + b"\x00"),
    "hybrid, half": (Algorithm.ED25519_ML_DSA_65, _ED25519),
    "hybrid, in the other order": (Algorithm.ED25519_ML_DSA_65, _ML_DSA + _ED25519),
}


@EVERY
def test_keys_and_signatures_have_their_sizes(algorithm: Algorithm) -> None:
    key = KEYS[algorithm]
    assert (len(key.public.key), len(key.sign(SEAL, b"x"))) == SIZES[algorithm]
    assert max(size for _, size in SIZES.values()) == MAX_SIGNATURE_BYTES


@EVERY
def test_a_new_key_signs_what_it_verifies(algorithm: Algorithm) -> None:
    key = generate(algorithm)
    assert key.public.algorithm is algorithm
    key.public.verify(SEAL, b"data", key.sign(SEAL, b"data"))


@EVERY
def test_a_signature_is_worth_nothing_elsewhere(algorithm: Algorithm) -> None:
    key, other = KEYS[algorithm], generate(algorithm)
    signature = key.sign(SEAL, b"data")
    for verifier, domain, data in (
        (key, SEAL, b"data "),
        (key, STATEMENT_SIGNATURE, b"data"),
        (other, SEAL, b"data"),
    ):
        with pytest.raises(SimpulError) as caught:
            verifier.public.verify(domain, data, signature)
        assert caught.value.code is Code.SIGNATURE_INVALID


@EVERY
def test_a_misspelt_signature_is_refused(algorithm: Algorithm) -> None:
    key = KEYS[algorithm]
    signature = key.sign(SEAL, b"data")
    zero, ones = b"\x00" * len(signature), b"\xff" * len(signature)
    for bad in (b"", signature[:-1], signature + b"\x00", zero, ones):
        with pytest.raises(SimpulError) as caught:
            key.public.verify(SEAL, b"data", bad)
        assert caught.value.code is Code.SIGNATURE_INVALID


@EVERY
@given(data=st.data())
def test_one_changed_bit_of_a_signature_is_refused(
    algorithm: Algorithm, data: st.DataObject
) -> None:
    key = KEYS[algorithm]
    signature = bytearray(key.sign(SEAL, b"data"))
    bit = data.draw(st.integers(min_value=0, max_value=8 * len(signature) - 1))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SimpulError):
        key.public.verify(SEAL, b"data", bytes(signature))


def test_both_halves_of_a_hybrid_signature_must_verify() -> None:
    key = KEYS[Algorithm.ED25519_ML_DSA_65]
    good, other = key.sign(SEAL, b"data"), key.sign(SEAL, b"other")
    key.public.verify(SEAL, b"data", good)
    for bad in (other[:64] + good[64:], good[:64] + other[64:]):
        with pytest.raises(SimpulError):
            key.public.verify(SEAL, b"data", bad)


@EVERY
def test_a_key_travels(algorithm: Algorithm) -> None:
    public = KEYS[algorithm].public
    again = PublicKey.from_proto(
        keys_pb2.PublicKey.FromString(public.to_proto().SerializeToString())
    )
    assert again == public
    assert hash(again) == hash(public)
    assert again.key_id == digest(b"simpul/v1/key", bytes([algorithm]), public.key)


@EVERY
def test_numbers_are_the_wires(algorithm: Algorithm) -> None:
    assert keys_pb2.KeyAlgorithm.Name(KEYS[algorithm].public.to_proto().algorithm) == (
        f"KEY_ALGORITHM_{algorithm.name}"
    )


def test_every_algorithm_of_the_wire_is_known() -> None:
    assert {0, *Algorithm} == set(keys_pb2.KeyAlgorithm.values())


@pytest.mark.parametrize(("algorithm", "key"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_bytes_that_are_no_key_are_refused(algorithm: Algorithm, key: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        PublicKey(algorithm, key)
    assert caught.value.code is Code.KEY_MALFORMED


@pytest.mark.parametrize("number", [0, 6, -1])
def test_an_unknown_algorithm_is_refused(number: int) -> None:
    message = keys_pb2.PublicKey(algorithm=keys_pb2.KeyAlgorithm.ValueType(number), key=_ED25519)
    with pytest.raises(SimpulError) as caught:
        PublicKey.from_proto(message)
    assert caught.value.code is Code.KEY_MALFORMED


@EVERY
@given(key=st.binary(max_size=100))
def test_whatever_comes_it_is_a_key_or_refused(algorithm: Algorithm, key: bytes) -> None:
    try:
        public = PublicKey(algorithm, key)
    except SimpulError:
        return
    assert PublicKey.from_proto(public.to_proto()).key == key


@EVERY
def test_a_key_file_gives_the_key_back(algorithm: Algorithm) -> None:
    key = KEYS[algorithm]
    again = PrivateKey.from_pem(key.to_pem())
    assert again.public == key.public
    assert again.to_pem() == key.to_pem()
    assert key.to_pem().count(b"BEGIN") == (2 if algorithm is Algorithm.ED25519_ML_DSA_65 else 1)


def _pem(
    key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey | mldsa.MLDSA44PrivateKey,
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


BAD_PEM = {
    "nothing": b"",
    "no PEM": b"key",
    "text before": b"x\n" + KEYS[Algorithm.ED25519].to_pem(),
    "text after": KEYS[Algorithm.ED25519].to_pem() + b"\n",
    "cut short": KEYS[Algorithm.ED25519].to_pem()[:-10],
    "broken inside": KEYS[Algorithm.ED25519].to_pem().replace(b"MC4C", b"MC4D"),
    "one key twice": KEYS[Algorithm.ED25519].to_pem() * 2,
    "hybrid, in the other order": KEYS[Algorithm.ML_DSA_65].to_pem()
    + KEYS[Algorithm.ED25519].to_pem(),
    "three keys": KEYS[Algorithm.ED25519_ML_DSA_65].to_pem() + KEYS[Algorithm.ED25519].to_pem(),
    "P-384": _pem(ec.derive_private_key(1, ec.SECP384R1())),
    "X25519": _pem(x25519.X25519PrivateKey.from_private_bytes(b"k" * 32)),
    "ML-DSA-44": _pem(mldsa.MLDSA44PrivateKey.from_seed_bytes(b"k" * 32)),
    "encrypted": ec.derive_private_key(1, ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    ),
}


@pytest.mark.parametrize("pem", BAD_PEM.values(), ids=BAD_PEM)
def test_a_file_that_holds_no_key_is_refused(pem: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        PrivateKey.from_pem(pem)
    assert caught.value.code is Code.KEY_MALFORMED


def test_a_private_key_shows_nothing_of_itself() -> None:
    key = KEYS[Algorithm.ED25519]
    assert repr(key) == f"PrivateKey(ED25519, {key.public.key_id.hex()[:16]})"


def test_a_private_rsa_key_below_the_limit_is_refused() -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(SimpulError) as caught:
        PrivateKey.from_pem(pem)
    assert caught.value.code is Code.KEY_MALFORMED


def test_a_plain_signature_covers_the_text_itself() -> None:
    key = fixed.key("plain")
    key.public.verify_plain(b"text\n", key.sign_plain(b"text\n"))
    with pytest.raises(SimpulError) as caught:
        key.public.verify_plain(b"other\n", key.sign_plain(b"text\n"))
    assert caught.value.code is Code.SIGNATURE_INVALID


def test_what_a_domain_signs_is_never_taken_as_plain() -> None:
    key = fixed.key("plain")
    data = b"domain\x00data"
    with pytest.raises(SimpulError):
        key.sign_plain(data)
    with pytest.raises(SimpulError) as caught:
        key.public.verify_plain(data, key.sign(b"domain", b"data"))
    assert caught.value.code is Code.SIGNATURE_INVALID
