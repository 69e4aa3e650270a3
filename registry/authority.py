"""The built-in certificate authority: issues the nodes' TLS certificates.

It decides nothing: who gets a certificate is for `rules`, and what one looks like for
`security.certificate`. Serial numbers are drawn here, 159 random bits each.

What a thief of its key can do: speak TLS as any node, and so read what he can also intercept. He
can greet and seal as nobody: those keys are in the directory.
"""

import secrets
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from security import certificate
from security.identifiers import NodeId

# A node renews at two thirds of it.
DAYS: Final = certificate.NODE_DAYS
OPERATOR_DAYS: Final = 365


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its issuer's, both DER, the node's first."""

    chain: tuple[bytes, ...]
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority's key, in PEM or a token, and its certificate, in DER."""

    key: certificate.AuthorityKey = field(repr=False)
    certificate_der: bytes

    def check_signs(self) -> None:
        """Pass where a key in a token signs; raises HSM_UNAVAILABLE, HSM_PIN, HSM_KEY."""
        if not isinstance(self.key, bytes):
            self.key.sign(b"simpul registry doctor", ec.ECDSA(hashes.SHA256()))

    def issue(self, request_der: bytes, node: NodeId, now_ms: int) -> Issued:
        """A certificate for `node`, valid for 30 days.

        Raises:
            SimpulError: CHANGE_INVALID, when the request is malformed, or asks for another name.
        """
        made = certificate.issue(
            self.key, self.certificate_der, request_der, node, now_ms, DAYS, new_serial()
        )
        return Issued((made, self.certificate_der), certificate.expires_at_ms(made))

    def issue_operator(self, request_der: bytes, federation: str, name: str, now_ms: int) -> Issued:
        """A certificate for an operator, valid for a year; raises as `issue`, or ID_MALFORMED."""
        dns_name = certificate.operator_dns_name(federation, name)
        made = certificate.issue_operator(
            self.key,
            self.certificate_der,
            request_der,
            dns_name,
            now_ms,
            OPERATOR_DAYS,
            new_serial(),
        )
        return Issued((made, self.certificate_der), certificate.expires_at_ms(made))


def new_serial() -> int:
    """A random serial number, never 0."""
    return secrets.randbits(certificate.MAX_SERIAL_BITS - 1) + 1
