"""Hashes and what signatures cover: one construction, with a domain for every use.

A hash is SHA-256 over the domain, a zero byte, and each part behind its length, so that no two
different lists of parts have one input. A signature covers the domain, a zero byte and the bytes.
A domain is ASCII without a zero byte; it is a constant of this file and never comes from outside.

It does not sign (`keys`) and builds no trees (`merkle`, whose hashes are those of RFC 6962).

Source: docs/spec, "Hashes and signatures".
"""

import hashlib
from typing import Final

HASH_BYTES: Final = 32
# Up to this the parts are put together before they are hashed; what is longer isn't copied.
_SHORT_BYTES: Final = 16_384

AGREEMENT: Final = b"simpul/v1/agreement"
AGREEMENT_REVOCATION: Final = b"simpul/v1/agreement-revocation"
AGREEMENT_SIGNATURE: Final = b"simpul/v1/agreement-signature"
ARCHIVE: Final = b"simpul/v1/archive"
CHANGE_SIGNATURE: Final = b"simpul/v1/change-signature"
CHILD_LINK: Final = b"simpul/v1/child-link"
DELEGATION: Final = b"simpul/v1/delegation"
DELEGATION_REVOCATION: Final = b"simpul/v1/delegation-revocation"
DELEGATION_SIGNATURE: Final = b"simpul/v1/delegation-signature"
ENROLMENT_SIGNATURE: Final = b"simpul/v1/enrolment-signature"
ENTRY: Final = b"simpul/v1/entry"
EVIDENCE: Final = b"simpul/v1/evidence"
FINGERPRINT: Final = b"simpul/v1/fingerprint"
GREETING: Final = b"simpul/v1/greeting"
GREETING_SIGNATURE: Final = b"simpul/v1/greeting-signature"
HEADER: Final = b"simpul/v1/header"
JOURNAL_LEAF: Final = b"simpul/v1/journal-leaf"
KEPT: Final = b"simpul/v1/kept"
KEY: Final = b"simpul/v1/key"
LINK: Final = b"simpul/v1/link"
MESSAGES: Final = b"simpul/v1/messages"
NODE_KEY_SIGNATURE: Final = b"simpul/v1/node-key-signature"
PARCEL_HOURS: Final = b"simpul/v1/parcel-hours"
PARCEL_SET: Final = b"simpul/v1/parcel-set"
PAYLOAD: Final = b"simpul/v1/payload"
PERSON: Final = b"simpul/v1/person"
PRIVATE: Final = b"simpul/v1/private"
QUERY_SIGNATURE: Final = b"simpul/v1/query-signature"
SEAL: Final = b"simpul/v1/seal"
SEAL_KEY_REQUEST_SIGNATURE: Final = b"simpul/v1/seal-key-request-signature"
SECRET_KEY: Final = b"simpul/v1/secret-key"
SIMILAR_QUERY_SIGNATURE: Final = b"simpul/v1/similar-query-signature"
STATEMENT: Final = b"simpul/v1/statement"
STATEMENT_SIGNATURE: Final = b"simpul/v1/statement-signature"
TOKEN_SECRET: Final = b"simpul/v1/token-secret"


def digest(domain: bytes, *parts: bytes) -> bytes:
    """Return H(domain, parts): 32 bytes.

    H is SHA-256(domain || 0x00 || for each part: its length as 8 bytes, big-endian || the part).
    """
    pieces = [domain, b"\x00"]
    for part in parts:
        pieces += (len(part).to_bytes(8, "big"), part)
    if sum(map(len, parts)) <= _SHORT_BYTES:
        # A dozen of these are made of every call, and each step into the library costs.
        return hashlib.sha256(b"".join(pieces)).digest()
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
    return state.digest()


def sha256(data: bytes) -> bytes:
    """Return the plain SHA-256 of `data`, where an outside format wants just that: 32 bytes."""
    return hashlib.sha256(data).digest()


def signed_bytes(domain: bytes, data: bytes) -> bytes:
    """Return what a signature under `domain` over `data` signs."""
    return domain + b"\x00" + data
