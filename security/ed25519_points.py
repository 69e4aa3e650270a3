"""Checks that 32 bytes are a point that an honest Ed25519 key can be.

OpenSSL takes any 32 bytes for a key. Two kinds must be refused all the same: bytes that are no
point or a second spelling of one, and the few points of small order. Under a key of small order one
signature fits many messages, so its owner could later deny what it signed.

It does nothing secret: public keys only, in plain integers.

Source: RFC 8032, sections 5.1.3 and 5.1.7; the list of small orders follows from the curve's
equation and is derived anew in the tests.
"""

from typing import Final

from security.errors import Code, SimpulError

KEY_BYTES: Final = 32

P: Final = 2**255 - 19
D: Final = -121665 * pow(121666, -1, P) % P

_EIGHTH: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# The y of every point whose order divides 8.
SMALL_ORDER_Y: Final = frozenset({0, 1, P - 1, _EIGHTH, P - _EIGHTH})

_SIGN_BIT: Final = 1 << 255


def check_point(key: bytes) -> None:
    """Check that `key` is a canonical point of large order.

    Raises:
        SimpulError: KEY_MALFORMED if it isn't.
    """
    if len(key) != KEY_BYTES:
        raise _malformed(f"has {len(key)} bytes, not {KEY_BYTES}")
    y = int.from_bytes(key, "little") & ~_SIGN_BIT
    if y >= P:
        raise _malformed("is no canonical point of the curve")
    if y in SMALL_ORDER_Y:
        raise _malformed("is a point of small order")
    # x² = u/v has a root if and only if u·v is a square, by Euler's criterion.
    u, v = y * y - 1, D * y * y + 1
    if pow(u * v, (P - 1) // 2, P) != 1:
        raise _malformed("is no point of the curve")


def _malformed(what: str) -> SimpulError:
    return SimpulError(Code.KEY_MALFORMED, f"an Ed25519 key {what}; make the key anew")
