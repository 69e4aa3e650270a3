"""Which app calls, and for which subsystem. Pure: hashes in, an identity out, or it raises.

An app proves itself by a token or by a client certificate; an app without either, on this machine,
may be let in for one subsystem, by the node's explicit setting. Rules: a credential that was shown
and is wrong is refused, and never replaced by the loopback setting; hashes are compared in constant
time; an expired credential is as wrong as an unknown one; the app's word (`simpul-from`) only
chooses among the subsystems that its credential names.

Source: wire standard, "Metadata the app sees".
"""

import base64
import hmac
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from security.errors import Code, SimpulError
from security.hashing import sha256
from security.identifiers import SubsystemId

TOKEN_PREFIX = "simpul_app_"  # noqa: S105
TOKEN_BYTES = 32
MAX_TOKEN_CHARS = 256
LOOPBACK_NAME = "loopback"

_BUCKET_BYTES = 4
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class AppCredential:
    """What a node stores of an app. Exactly one of the two hashes is set, both SHA-256."""

    name: str
    subsystems: tuple[SubsystemId, ...]
    token_sha256: bytes | None = None
    certificate_sha256: bytes | None = None
    # None: does not expire.
    expires_at_ms: int | None = None

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None or self.name == LOOPBACK_NAME:
            raise SimpulError(
                Code.ID_MALFORMED,
                f"{self.name!a} is no app's name; give one like super-app, in lower case",
            )
        if not self.subsystems:
            raise SimpulError(
                Code.REQUEST_MALFORMED, f"app {self.name} has no subsystem: name at least one"
            )
        if (self.token_sha256 is None) == (self.certificate_sha256 is None):
            raise SimpulError(
                Code.REQUEST_MALFORMED,
                f"app {self.name} needs either a token or a certificate, and not both",
            )


@dataclass(frozen=True, slots=True)
class AppIdentity:
    """An app that proved itself, and the subsystems that it may act for."""

    name: str
    subsystems: tuple[SubsystemId, ...]

    def choose(self, simpul_from: str | None) -> SubsystemId:
        """The subsystem in whose name the app calls.

        Args:
            simpul_from: The metadata value; None where it is absent.

        Raises:
            SimpulError: APP_SUBSYSTEM_AMBIGUOUS, APP_SUBSYSTEM_DENIED, ID_MALFORMED.
        """
        known = ", ".join(str(subsystem) for subsystem in self.subsystems)
        if simpul_from is not None:
            asked = SubsystemId.parse(simpul_from)
            if asked not in self.subsystems:
                raise SimpulError(
                    Code.APP_SUBSYSTEM_DENIED,
                    f"app {self.name} may not act for {asked}: send in simpul-from one of {known}, "
                    "or have the app added for it",
                    app=self.name,
                )
            return asked
        if len(self.subsystems) != 1:
            raise SimpulError(
                Code.APP_SUBSYSTEM_AMBIGUOUS,
                f"app {self.name} may act for several subsystems: send in simpul-from one of "
                f"{known}",
                app=self.name,
            )
        return self.subsystems[0]


def make_token(randomness: bytes) -> str:
    """An app's token, to be shown once.

    Args:
        randomness: 32 fresh random bytes.
    """
    if len(randomness) != TOKEN_BYTES:
        raise ValueError(f"a token takes {TOKEN_BYTES} random bytes")
    return TOKEN_PREFIX + base64.urlsafe_b64encode(randomness).rstrip(b"=").decode()


def token_hash(token: str) -> bytes:
    """What is stored of a token: its SHA-256. It has 256 random bits, so no salt is needed."""
    return sha256(token.encode("utf-8", "surrogatepass"))


class AppBook:
    """All apps of a node at one moment. Immutable; its size does not slow it down."""

    __slots__ = ("_by_certificate", "_by_token", "_loopback")

    def __init__(
        self, apps: Iterable[AppCredential] = (), loopback: SubsystemId | None = None
    ) -> None:
        """`loopback`: the one subsystem for apps on this machine without a credential, if any."""
        apps = tuple(apps)
        self._by_token = _buckets((app.token_sha256, app) for app in apps)
        self._by_certificate = _buckets((app.certificate_sha256, app) for app in apps)
        self._loopback = loopback

    def authenticate(
        self, token: str | None, certificate_sha256: bytes | None, *, local: bool, now_ms: int
    ) -> AppIdentity:
        """Who is calling.

        Args:
            token: As the app sent it; None where it sent none.
            certificate_sha256: Of its client certificate's DER, which TLS has verified.
            local: It called over loopback or a Unix socket.
            now_ms: The time.

        Raises:
            SimpulError: APP_CREDENTIAL_MISSING, APP_CREDENTIAL_WRONG.
        """
        if token is not None:
            shown = b"" if len(token) > MAX_TOKEN_CHARS else token_hash(token)
            return _identity(self._by_token, shown, now_ms, "token")
        if certificate_sha256 is not None:
            return _identity(self._by_certificate, certificate_sha256, now_ms, "certificate")
        if local and self._loopback is not None:
            return AppIdentity(LOOPBACK_NAME, (self._loopback,))
        raise SimpulError(
            Code.APP_CREDENTIAL_MISSING,
            "the app shows neither a token nor a client certificate: `simpul app add` makes one",
        )


_Buckets = Mapping[bytes, tuple[tuple[bytes, AppCredential], ...]]


def _buckets(pairs: Iterable[tuple[bytes | None, AppCredential]]) -> _Buckets:
    # By the first bytes of the hash, which the caller can't choose; the rest is compared evenly.
    found: defaultdict[bytes, list[tuple[bytes, AppCredential]]] = defaultdict(list)
    for key, app in pairs:
        if key is not None:
            found[key[:_BUCKET_BYTES]].append((key, app))
    return MappingProxyType({key: tuple(apps) for key, apps in found.items()})


def _identity(buckets: _Buckets, shown: bytes, now_ms: int, what: str) -> AppIdentity:
    for stored, app in buckets.get(shown[:_BUCKET_BYTES], ()):
        expired = app.expires_at_ms is not None and now_ms >= app.expires_at_ms
        if hmac.compare_digest(stored, shown) and not expired:
            return AppIdentity(app.name, app.subsystems)
    # Which of the two it is would tell a thief that what he holds once worked.
    raise SimpulError(
        Code.APP_CREDENTIAL_WRONG,
        f"the app's {what} is unknown here or has expired: `simpul app add` makes a new one",
    )
