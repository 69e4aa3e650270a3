"""Who watches the journals, as the federation's policy lists them: witnesses and time authorities.

What is listed is strictly judged; nothing is fetched, and no stamp or cosignature is verified here
(`timestamp`, `cosignature`).

Source: docs/spec, "Directory"; protos/simpul/v1/directory.proto, FederationPolicy.
"""

import re
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from security.errors import Code, SimpulError
from security.note import NoteKey, SignatureType
from security.statement import MAX_TIME_MS
from simpul.v1 import directory_pb2

MAX_WITNESSES: Final = 32
MAX_AUTHORITIES: Final = 16
MAX_URL_CHARS: Final = 512
MAX_NAME_CHARS: Final = 64

_URL: Final = re.compile(r"https?://[^\s?#]*[^\s?#/]")


@dataclass(frozen=True, slots=True)
class WitnessView:
    """A witness: its key, and the URL below which it takes checkpoints."""

    key: NoteKey
    url: str


@dataclass(frozen=True, slots=True)
class AuthorityView:
    """A time-stamp authority: the root of its certificates (DER), and its URL."""

    name: str
    certificate: bytes
    url: str


@dataclass(frozen=True, slots=True)
class TimePolicyView:
    """How often slots are stamped, by whom, and what happens when they can't be."""

    authorities: tuple[AuthorityView, ...]
    every_ms: int
    max_age_ms: int
    refuses: bool


@dataclass(frozen=True, slots=True)
class Oversight:
    """All of it. `quorum` is 0 where there are no witnesses, and never otherwise."""

    witnesses: tuple[WitnessView, ...] = ()
    quorum: int = 0
    time: TimePolicyView | None = None


def read_oversight(message: directory_pb2.FederationPolicy) -> Oversight:
    """Read the policy's part about it.

    Raises:
        SimpulError: CHANGE_INVALID, or NOTE_MALFORMED for a witness's key.
    """
    witnesses = tuple(map(_read_witness, message.witnesses))
    quorum = message.witness_quorum
    if len(witnesses) > MAX_WITNESSES:
        raise _invalid(f"it names more than {MAX_WITNESSES} witnesses")
    for values in (
        {item.key.name for item in witnesses},
        {item.key.public.key for item in witnesses},
    ):
        if len(values) != len(witnesses):
            raise _invalid("it names a witness twice")
    if not (0 < quorum <= len(witnesses) or quorum == len(witnesses) == 0):
        raise _invalid(f"{quorum} of {len(witnesses)} witnesses can be no quorum")
    return Oversight(
        witnesses, quorum, _read_time(message.time) if message.HasField("time") else None
    )


def _read_witness(message: directory_pb2.Witness) -> WitnessView:
    key = NoteKey.parse(message.vkey)
    if key.type is not SignatureType.COSIGNATURE_V1:
        raise _invalid(f"the key of witness {key.name} isn't one for cosignatures")
    return WitnessView(key, _read_url(message.url))


def _read_time(message: directory_pb2.TimePolicy) -> TimePolicyView:
    authorities = tuple(map(_read_authority, message.authorities))
    names = {item.name for item in authorities}
    if not 0 < len(authorities) <= MAX_AUTHORITIES or len(names) != len(authorities):
        raise _invalid("it names no time-stamp authority, too many, or one twice")
    if not 0 < message.every_ms < message.max_age_ms <= MAX_TIME_MS:
        raise _invalid("the ages of time stamps aren't in order")
    choices = {
        directory_pb2.TIME_OVERDUE_WARN: False,
        directory_pb2.TIME_OVERDUE_REFUSE: True,
    }
    if message.overdue not in choices:
        raise _invalid("it doesn't say what to do when time stamps are overdue")
    return TimePolicyView(
        authorities, message.every_ms, message.max_age_ms, choices[message.overdue]
    )


def _read_authority(message: directory_pb2.TimestampAuthority) -> AuthorityView:
    if not 0 < len(message.name) <= MAX_NAME_CHARS:
        raise _invalid("a time-stamp authority has no name, or too long a one")
    try:
        x509.load_der_x509_certificate(message.certificate)
    except ValueError as error:
        raise _invalid(f"time-stamp authority {message.name} has no certificate") from error
    return AuthorityView(message.name, message.certificate, _read_url(message.url))


def _read_url(url: str) -> str:
    if len(url) > MAX_URL_CHARS or _URL.fullmatch(url) is None:
        raise _invalid(f"{url[:100]!a} is no URL without a slash at its end")
    return url


def _invalid(what: str) -> SimpulError:
    return SimpulError(Code.CHANGE_INVALID, f"the policy is wrong: {what}; mend it")
