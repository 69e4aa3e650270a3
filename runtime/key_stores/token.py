"""Private keys in a token, by PKCS#11: an HSM, a smart card, SoftHSM.

A `TokenKey` is a `PrivateKey` like any other, but that signing waits for a device: never do it in
an event loop (`on_device`). Its public half is known without the token (`Reference`), so that a
program starts, and says what is wrong, while the token is away.

Rules:
- One library has one state in a process, and one lock here: reloading it under another thread's
  call is undefined. A session that was lost, or a token that came back, is found by reloading once
  and trying again; after that the fault stands for `RETRY_S`, so that nothing hammers a device.
- A PIN that was refused is not tried again: a few wrong ones lock a token for good.
- The first signature of a session is checked against the public key: a token that was restored or
  exchanged may hold another key of the same name.
- A key that is made here can't leave its token.

Source: PKCS#11 2.40; RFC 7512; docs/adr/0029.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from runtime.key_stores.secrets_found import Find, first_line
from runtime.key_stores.uri import TokenUri
from security.errors import Code, SimpulError
from security.keys import Algorithm, PrivateKey, PublicKey

if TYPE_CHECKING:
    import pkcs11

RETRY_S: Final = 1.0
# DER of the curves' names; Ed25519's as the standard's drafts, its 3.0 and RFC 8410 spell it.
P256: Final = bytes.fromhex("06082a8648ce3d030107")
ED25519: Final = (
    bytes.fromhex("130c656477617264733235353139"),
    bytes.fromhex("06032b6570"),
)
_OCTETS: Final = 4
_RSA_BITS: Final = 3072
_SALT_BYTES: Final = 32
_CHECKED: Final = b"simpul checks a token's key"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a key's file holds of a key in a token: its URI, its algorithm, its public half.

    pkcs11:token=simpul;object=seal
    ED25519 9c0ab9d8…
    """

    uri: TokenUri
    public: PublicKey

    def to_bytes(self) -> bytes:
        """What its file holds."""
        return f"{self.uri}\n{self.public.algorithm.name} {self.public.key.hex()}\n".encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` printed; raises SimpulError KEY_MALFORMED for anything else."""
        try:
            first, second, rest = data.decode("ascii").split("\n")
            name, key = second.split(" ")
            made = cls(TokenUri.parse(first), PublicKey(Algorithm[name], bytes.fromhex(key)))
        except (ValueError, KeyError, SimpulError):
            made, rest = None, "."
        if made is None or rest or made.to_bytes() != data:
            raise SimpulError(
                Code.KEY_MALFORMED,
                "a key's file names no key in a token: restore it from a good copy",
            )
        return made


class Module:
    """A PKCS#11 library, loaded once in a process (`module`)."""

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self.path = path
        self.clock = clock
        self.lock = threading.RLock()
        # Sessions of an earlier generation ended with it.
        self.generation = 0
        self.refused_pins: set[tuple[str, bytes]] = set()
        self._loaded: pkcs11._pkcs11.lib | None = None

    def library(self) -> pkcs11._pkcs11.lib:
        """The library, initialised; raises SimpulError CONFIG_INVALID, where it isn't one."""
        if self._loaded is None:
            api = _api()
            if not Path(self.path).is_file():
                raise SimpulError(
                    Code.CONFIG_INVALID,
                    f"{self.path or 'no file'} is no PKCS#11 library: set keys.module "
                    "(a registry: authority.module) to that of the token's maker, like "
                    "/usr/lib/softhsm/libsofthsm2.so",
                )
            try:
                self._loaded = api.lib(self.path)
            except (RuntimeError, api.PKCS11Error) as error:
                raise SimpulError(
                    Code.HSM_UNAVAILABLE,
                    f"{self.path} can't be used ({_name(error)}): see its own log and settings",
                ) from error
        return self._loaded

    def renew(self, generation: int) -> None:
        """Begins anew, unless another key did since: what a token had lost is looked for again."""
        if generation == self.generation and self._loaded is not None:
            self.generation += 1
            self._loaded.reinitialize()


_modules: dict[str, Module] = {}
_modules_lock = threading.Lock()


def module(path: str, clock: Callable[[], float] = time.monotonic) -> Module:
    """The one `Module` of a library. The standard gives each process one state of it, so do we."""
    with _modules_lock:
        return _modules.setdefault(path, Module(path, clock))


class TokenSigner:
    """A key in a token, as a scheme's signer."""

    def __init__(self, held: Module, pin: Find, uri: TokenUri, public: PublicKey) -> None:
        self._module = held
        self._pin = pin
        self._uri = uri
        self._public = public
        self._key: Any = None
        self._generation = 0
        self._fault: SimpulError | None = None
        self._fault_ends = 0.0

    @property
    def algorithm(self) -> Algorithm:
        """The scheme."""
        return self._public.algorithm

    def public_bytes(self) -> bytes:
        """The public key, which is known without the token."""
        return self._public.key

    def to_pem(self) -> bytes:
        """Never: raises SimpulError HSM_KEY."""
        raise SimpulError(Code.HSM_KEY, "a key in a token can't be taken out of it; make another")

    def sign(self, data: bytes) -> bytes:
        """The signature; waits for the token.

        Raises:
            SimpulError: HSM_UNAVAILABLE, HSM_PIN, HSM_KEY; CONFIG_INVALID.
        """
        with self._module.lock:
            if self._fault is not None and self._module.clock() < self._fault_ends:
                raise self._fault
            try:
                return self._sign_twice(data)
            except SimpulError as error:
                self._key, self._fault = None, error
                self._fault_ends = self._module.clock() + RETRY_S
                raise

    def _sign_twice(self, data: bytes) -> bytes:
        error_type = _api().PKCS11Error
        try:
            return self._sign_once(data)
        except error_type:
            self._key = None
        with _faults(self._uri):
            self._module.renew(self._generation)
            return self._sign_once(data)

    def _sign_once(self, data: bytes) -> bytes:
        held = self._module
        if self._key is None or self._generation != held.generation:
            self._generation = held.generation
            session = _open(held, self._uri, self._pin, rw=False)
            key = session.get_key(
                object_class=_api().ObjectClass.PRIVATE_KEY, **_selected(self._uri)
            )
            self._check(_sign(key, self.algorithm, _CHECKED))
            self._key = key
        return _sign(self._key, self.algorithm, data)

    def _check(self, signature: bytes) -> None:
        try:
            self._public.verify_plain(_CHECKED, signature)
        except SimpulError:
            raise SimpulError(
                Code.HSM_KEY,
                f"{self._uri} is another key than key {self._public.key_id.hex()[:16]}, which "
                "it was: put that token back",
            ) from None


class TokenKey(PrivateKey):
    """A private key in a token."""

    __slots__ = ("_in_token", "reference")

    def __init__(self, reference: Reference, held: Module, pin: Find) -> None:
        self._in_token = TokenSigner(held, pin, reference.uri, reference.public)
        super().__init__(self._in_token)
        self.reference = reference

    @property
    def signer(self) -> TokenSigner:
        """What signs bytes as they are: for certificates, and nothing else."""
        return self._in_token

    @property
    def on_device(self) -> bool:
        """Signing waits for the token."""
        return True


def pin_for(uri: TokenUri, pin: Find) -> Find:
    """The URI's own source of the PIN, or the configured one."""
    return (lambda: first_line(Path(uri.pin_source))) if uri.pin_source else pin


def find(uri: TokenUri, held: Module, pin: Find) -> TokenKey | None:
    """The key that is in the token already; None where none has this name.

    Raises:
        SimpulError: HSM_UNAVAILABLE, HSM_PIN, HSM_KEY; CONFIG_INVALID.
    """
    with held.lock, _faults(uri):
        held.renew(held.generation)
        api = _api()
        with _open(held, uri, pin, rw=False) as session:
            wanted = {api.Attribute.CLASS: api.ObjectClass.PRIVATE_KEY, **_template(uri)}
            if not list(session.get_objects(wanted)):
                return None
            public = session.get_key(object_class=api.ObjectClass.PUBLIC_KEY, **_selected(uri))
            return TokenKey(Reference(uri, _public_key(public)), held, pin)


def make(uri: TokenUri, algorithm: Algorithm, held: Module, pin: Find) -> TokenKey:
    """Makes a key in the token, which can't leave it.

    Raises:
        SimpulError: as `find`; HSM_KEY also for an algorithm that tokens don't know.
    """
    if not uri.object:
        raise SimpulError(Code.CONFIG_INVALID, "a new key in a token needs a name: give object=")
    with held.lock, _faults(uri), _open(held, uri, pin, rw=True) as session:
        public, _ = _generate(session, uri, algorithm)
        return TokenKey(Reference(uri, _public_key(public)), held, pin)


def _generate(session: Any, uri: TokenUri, algorithm: Algorithm) -> Any:  # noqa: ANN401
    api = _api()
    options = {
        "store": True,
        "label": uri.object,
        "id": uri.id or secrets.token_bytes(16),
        "capabilities": api.MechanismFlag.SIGN | api.MechanismFlag.VERIFY,
        "private_template": {api.Attribute.SENSITIVE: True, api.Attribute.EXTRACTABLE: False},
    }
    match algorithm:
        case Algorithm.ED25519:
            return _generate_ed25519(session, options)
        case Algorithm.ECDSA_P256_SHA256:
            return _domain(session, api.KeyType.EC, P256).generate_keypair(**options)
        case Algorithm.RSA_PSS_SHA256:
            return session.generate_keypair(api.KeyType.RSA, _RSA_BITS, **options)
        case _:
            raise SimpulError(
                Code.HSM_KEY,
                f"tokens know no {algorithm.name}: take ED25519, ECDSA_P256_SHA256 or "
                "RSA_PSS_SHA256",
            )


def _generate_ed25519(session: Any, options: dict[str, Any]) -> Any:  # noqa: ANN401
    api = _api()
    first, second = ED25519
    how = api.Mechanism.EC_EDWARDS_KEY_PAIR_GEN
    try:
        return _domain(session, api.KeyType.EC_EDWARDS, first).generate_keypair(
            mechanism=how, **options
        )
    except (api.DomainParamsInvalid, api.AttributeValueInvalid, api.FunctionFailed):
        # A token of the newer spelling.
        return _domain(session, api.KeyType.EC_EDWARDS, second).generate_keypair(
            mechanism=how, **options
        )


def _domain(session: Any, kind: Any, curve: bytes) -> Any:  # noqa: ANN401
    api = _api()
    return session.create_domain_parameters(kind, {api.Attribute.EC_PARAMS: curve}, local=True)


def _sign(key: Any, algorithm: Algorithm, data: bytes) -> bytes:  # noqa: ANN401
    api = _api()
    match algorithm:
        case Algorithm.ED25519:
            made = key.sign(data, mechanism=api.Mechanism.EDDSA)
        case Algorithm.ECDSA_P256_SHA256:
            # Hashed here: every token signs a digest, and few hash before ECDSA.
            made = key.sign(hashlib.sha256(data).digest(), mechanism=api.Mechanism.ECDSA)
        case _:
            made = key.sign(
                data,
                mechanism=api.Mechanism.SHA256_RSA_PKCS_PSS,
                mechanism_param=(api.Mechanism.SHA256, api.MGF.SHA256, _SALT_BYTES),
            )
    return bytes(made)


def _public_key(key: Any) -> PublicKey:  # noqa: ANN401
    """The public half, as `keys.proto` spells it; raises SimpulError HSM_KEY, KEY_MALFORMED."""
    api = _api()
    if key.key_type == api.KeyType.RSA:
        from pkcs11.util.rsa import encode_rsa_public_key  # noqa: PLC0415

        return PublicKey(Algorithm.RSA_PSS_SHA256, _rsa_info(encode_rsa_public_key(key)))
    curve, point = bytes(key[api.Attribute.EC_PARAMS]), bytes(key[api.Attribute.EC_POINT])
    # DER's OCTET STRING, as the standard says; some tokens give the bare point.
    if point[:1] == bytes([_OCTETS]) and len(point) > 1 and point[1] == len(point) - 2:
        point = point[2:]
    if key.key_type == api.KeyType.EC and curve == P256:
        return PublicKey(Algorithm.ECDSA_P256_SHA256, point)
    if key.key_type == api.KeyType.EC_EDWARDS and curve in ED25519:
        return PublicKey(Algorithm.ED25519, point)
    raise SimpulError(
        Code.HSM_KEY, "the key in the token is neither Ed25519, nor on P-256, nor RSA: make another"
    )


def _rsa_info(pkcs1: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    return load_der_public_key(pkcs1).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _open(held: Module, uri: TokenUri, pin: Find, *, rw: bool) -> Any:  # noqa: ANN401
    """A session that is logged in. Logins are the process's, and not a session's."""
    api = _api()
    wanted = [token for token in held.library().get_tokens() if _is(token, uri)]
    if len(wanted) != 1:
        raise SimpulError(
            Code.HSM_UNAVAILABLE,
            f"{len(wanted)} tokens fit {uri}: "
            + (
                "name it more closely, by serial=" if wanted else "plug it in, or start what has it"
            ),
        )
    found = pin_for(uri, pin)()
    if not found:
        raise SimpulError(
            Code.HSM_PIN,
            "no PIN for the token: give keys.pin_file (a registry: authority.pin_file), the "
            "variable SIMPUL_HSM_PIN, systemd's "
            "credential simpul-hsm-pin, or pin-source in the key's URI",
        )
    tried = (held.path + str(uri.token or uri.serial), hashlib.sha256(found.encode()).digest())
    if tried in held.refused_pins:
        raise _wrong_pin(uri, "it was refused before, and isn't tried again")
    try:
        return wanted[0].open(rw=rw, user_pin=found)
    except api.UserAlreadyLoggedIn:
        return wanted[0].open(rw=rw)
    except (api.PinIncorrect, api.PinInvalid, api.PinLenRange):
        held.refused_pins.add(tried)
        raise _wrong_pin(uri, "the token refuses it") from None
    except (api.PinLocked, api.PinExpired, api.UserPinNotInitialized) as error:
        raise _wrong_pin(uri, f"the token takes none now ({_name(error)})") from None


def _is(token: Any, uri: TokenUri) -> bool:  # noqa: ANN401
    serial = token.serial.decode("utf-8", "replace").strip() if token.serial else ""
    return (
        uri.token in {"", token.label}
        and uri.serial in {"", serial}
        and uri.manufacturer in {"", token.manufacturer_id}
        and uri.model in {"", token.model}
    )


def _selected(uri: TokenUri) -> dict[str, Any]:
    return {name: value for name, value in (("label", uri.object), ("id", uri.id)) if value}


def _template(uri: TokenUri) -> dict[Any, Any]:
    api = _api()
    pairs = ((api.Attribute.LABEL, uri.object), (api.Attribute.ID, uri.id))
    return {name: value for name, value in pairs if value}


@contextmanager
def _faults(uri: TokenUri) -> Iterator[None]:
    """A library's own errors as ours, which say what to do."""
    api = _api()
    try:
        yield
    except (api.NoSuchKey, api.MultipleObjectsReturned) as error:
        many = isinstance(error, api.MultipleObjectsReturned)
        raise SimpulError(
            Code.HSM_KEY,
            f"the token has {'several keys' if many else 'no key, or no public key,'} for {uri}: "
            "see what it holds with pkcs11-tool -O",
        ) from error
    except (api.MechanismInvalid, api.FunctionNotSupported, api.KeyTypeInconsistent) as error:
        raise SimpulError(
            Code.HSM_KEY,
            f"the token can't do this with such a key ({_name(error)}): take another algorithm, "
            "like ECDSA_P256_SHA256",
        ) from error
    except api.PKCS11Error as error:
        raise SimpulError(
            Code.HSM_UNAVAILABLE,
            f"the token of {uri} doesn't work ({_name(error)}): see that it is there and on",
        ) from error


def _wrong_pin(uri: TokenUri, why: str) -> SimpulError:
    return SimpulError(
        Code.HSM_PIN,
        f"the PIN for token {uri.token or uri.serial} doesn't open it: {why}; put the right one "
        "where it is read from",
    )


def _name(error: Exception) -> str:
    return type(error).__name__


def _api() -> Any:  # noqa: ANN401 - its names are those of the standard, made at run time
    try:
        import pkcs11  # noqa: PLC0415
    except ImportError:
        raise SimpulError(
            Code.CONFIG_INVALID,
            "keys in a token need the extra hsm, which isn't installed: "
            "pip install 'simpul[hsm]' where this runs",
        ) from None
    return pkcs11
