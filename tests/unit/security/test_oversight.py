"""Who watches the journals, by the policy: each rule broken by itself."""

from collections.abc import Callable

import pytest

from security import certificate
from security.cosignature import witness_key
from security.errors import Code, SimpulError
from security.note import NoteKey, SignatureType
from security.oversight import MAX_WITNESSES, Oversight, read_oversight
from simpul.v1 import directory_pb2
from tests.conformance import fixed

Policy = directory_pb2.FederationPolicy
CERTIFICATE = certificate.make_authority("TSA", fixed.NOW_MS, 7)[1]


def vkey(name: str) -> str:
    return witness_key(name, fixed.key(name)).vkey


def policy() -> Policy:
    return Policy(
        witnesses=[
            directory_pb2.Witness(vkey=vkey(name), url=f"https://{name}/prefix")
            for name in ("w1", "w2", "w3")
        ],
        witness_quorum=2,
        time=directory_pb2.TimePolicy(
            authorities=[
                directory_pb2.TimestampAuthority(
                    name=name, certificate=CERTIFICATE, url="http://127.0.0.1:1"
                )
                for name in ("one", "two")
            ],
            every_ms=60_000,
            max_age_ms=600_000,
            overdue=directory_pb2.TIME_OVERDUE_REFUSE,
        ),
    )


def test_what_is_listed_is_read() -> None:
    found = read_oversight(policy())
    assert [item.key.vkey for item in found.witnesses] == [vkey(n) for n in ("w1", "w2", "w3")]
    assert (found.witnesses[0].url, found.quorum) == ("https://w1/prefix", 2)
    assert found.time is not None
    assert [item.name for item in found.time.authorities] == ["one", "two"]
    assert found.time.refuses
    warning = policy()
    warning.time.overdue = directory_pb2.TIME_OVERDUE_WARN
    time = read_oversight(warning).time
    assert time is not None
    assert not time.refuses


def test_nobody_may_watch() -> None:
    assert read_oversight(Policy()) == Oversight()


def _twice(message: Policy) -> None:
    message.witnesses[1].vkey = message.witnesses[0].vkey


def _one_key_twice(message: Policy) -> None:
    message.witnesses[1].vkey = witness_key("another", fixed.key("w1")).vkey


def _plain_key(message: Policy) -> None:
    key = NoteKey("w1", SignatureType.ED25519, fixed.key("w1").public)
    message.witnesses[0].vkey = key.vkey


def _no_key(message: Policy) -> None:
    message.witnesses[0].vkey = "w1+00000000+AAAA"


def _slash(message: Policy) -> None:
    message.witnesses[0].url = "https://w1/"


def _scheme(message: Policy) -> None:
    message.witnesses[0].url = "ftp://w1"


def _no_quorum(message: Policy) -> None:
    message.witness_quorum = 0


def _too_large_a_quorum(message: Policy) -> None:
    message.witness_quorum = 4


def _quorum_of_nobody(message: Policy) -> None:
    message.ClearField("witnesses")


def _crowd(message: Policy) -> None:
    for number in range(MAX_WITNESSES):
        message.witnesses.add(vkey=vkey(f"more{number}"), url="http://x")


def _no_authority(message: Policy) -> None:
    message.time.ClearField("authorities")


def _authority_twice(message: Policy) -> None:
    message.time.authorities[1].name = "one"


def _nameless(message: Policy) -> None:
    message.time.authorities[0].name = ""


def _no_certificate(message: Policy) -> None:
    message.time.authorities[0].certificate = b"none"


def _no_url(message: Policy) -> None:
    message.time.authorities[0].url = ""


def _never(message: Policy) -> None:
    message.time.every_ms = 0


def _older_than_it_may_be(message: Policy) -> None:
    message.time.every_ms = message.time.max_age_ms


def _undecided(message: Policy) -> None:
    message.time.ClearField("overdue")


BREAKS = (
    _twice, _one_key_twice, _plain_key, _no_key, _slash, _scheme, _no_quorum, _too_large_a_quorum,
    _quorum_of_nobody, _crowd, _no_authority, _authority_twice, _nameless, _no_certificate,
    _no_url, _never, _older_than_it_may_be, _undecided,
)  # fmt: skip


@pytest.mark.parametrize("break_it", BREAKS)
def test_each_rule_is_kept(break_it: Callable[[Policy], None]) -> None:
    message = policy()
    break_it(message)
    with pytest.raises(SimpulError) as caught:
        read_oversight(message)
    assert caught.value.code in {Code.CHANGE_INVALID, Code.NOTE_MALFORMED}
