"""Enrolment tokens, and the fingerprint that people compare when a node joins.

A token is the text `simpul1_` and, in base64url without padding, an EnrolmentToken. It says what
the node must trust, so that nothing is trusted on first use: the hashes of the root metadata and of
the registry's certificate. The registry keeps the hash of its secret, never the secret.

It neither makes the secret nor knows whether a token was used or has expired: the registry does.

Source: docs/spec, "Enrolment"; protos/simpul/v1/registry.proto.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from security import strict
from security.errors import Code, SimpulError
from security.hashing import FINGERPRINT, HASH_BYTES, TOKEN_SECRET, digest
from security.identifiers import MemberId, NodeId
from security.keys import PublicKey
from simpul.v1 import registry_pb2

PREFIX: Final = "simpul1_"
SECRET_BYTES: Final = 32
MAX_TOKEN_CHARS: Final = 1024
# 24 letters of 5 bits are 120 bits.
FINGERPRINT_LETTERS: Final = 24

_GROUP_LETTERS: Final = 4


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """What a token says."""

    secret: bytes = field(repr=False)
    member: MemberId
    node: NodeId
    root_sha256: bytes
    registry_certificate_sha256: bytes
    # The member has a statement already: this node asks for its seal key to be listed.
    has_statement: bool = False

    @property
    def federation(self) -> str:
        """The federation that the node joins."""
        return self.member.federation

    @property
    def secret_hash(self) -> bytes:
        """What the registry keeps of the secret: 32 bytes."""
        return secret_hash(self.secret)


def secret_hash(secret: bytes) -> bytes:
    """Return the hash by which the registry knows a token's secret: 32 bytes."""
    return digest(TOKEN_SECRET, secret)


def format_token(token: EnrolmentToken) -> str:
    """Return the token's text; `parse_token` gives the same token back."""
    data = registry_pb2.EnrolmentToken(
        secret=token.secret,
        federation=token.federation,
        member=str(token.member),
        node=str(token.node),
        root_sha256=token.root_sha256,
        registry_certificate_sha256=token.registry_certificate_sha256,
        has_statement=token.has_statement,
    ).SerializeToString(deterministic=True)
    return PREFIX + base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def parse_token(text: str) -> EnrolmentToken:
    """Read a token's text.

    Raises:
        SimpulError: TOKEN_MALFORMED for anything that `format_token` wouldn't write. No message
            holds any of the text.
    """
    if not text.startswith(PREFIX) or len(text) > MAX_TOKEN_CHARS or not text.isascii():
        raise _malformed(f"doesn't begin with {PREFIX}, or is too long")
    encoded = text.removeprefix(PREFIX)
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        message = strict.parse(registry_pb2.EnrolmentToken, data, MAX_TOKEN_CHARS)
        token = EnrolmentToken(
            secret=message.secret,
            member=MemberId.parse(message.member),
            node=NodeId.parse(message.node),
            root_sha256=message.root_sha256,
            registry_certificate_sha256=message.registry_certificate_sha256,
            has_statement=message.has_statement,
        )
    except (binascii.Error, SimpulError):
        raise _malformed("is damaged") from None
    if len(token.secret) != SECRET_BYTES:
        raise _malformed("holds no secret")
    if {len(token.root_sha256), len(token.registry_certificate_sha256)} != {HASH_BYTES}:
        raise _malformed("doesn't say what to trust")
    if {message.federation, token.node.federation} != {token.federation}:
        raise _malformed("names several federations")
    if format_token(token) != text:
        raise _malformed("is damaged")
    return token


def fingerprint(
    member: MemberId,
    node: NodeId,
    identity_key: PublicKey,
    node_key: PublicKey,
    seal_key: PublicKey,
) -> str:
    """Return what two people compare by voice: 120 bits, as groups of 4 base32 letters."""
    hashed = digest(
        FINGERPRINT,
        str(member).encode(),
        str(node).encode(),
        identity_key.key_id,
        node_key.key_id,
        seal_key.key_id,
    )
    letters = base64.b32encode(hashed).decode("ascii")[:FINGERPRINT_LETTERS]
    return "-".join(
        letters[at : at + _GROUP_LETTERS] for at in range(0, len(letters), _GROUP_LETTERS)
    )


def _malformed(what: str) -> SimpulError:
    return SimpulError(
        Code.TOKEN_MALFORMED,
        f"the enrolment token {what}; copy the whole of it again, from {PREFIX} to its last letter",
    )
