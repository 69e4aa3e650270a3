"""Time stamps by a real authority."""

import subprocess
from collections.abc import Iterator

import pytest

from security.errors import Code, SimpulError
from security.timestamp import MAX_RESPONSE_BYTES, make_request, verify_timestamp
from tests.support.tsa import OPENSSL, Authority, authority

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="there is no openssl here")

TEXT = b"log\n3\nroot\n"


@pytest.fixture(scope="module")
def tsa() -> Iterator[Authority]:
    with authority() as made:
        yield made


def refused(response: bytes, text: bytes, certificate: bytes, nonce: int | None = None) -> None:
    with pytest.raises(SimpulError) as caught:
        verify_timestamp(response, text, certificate, nonce=nonce)
    assert caught.value.code is Code.TIMESTAMP_INVALID


def test_a_stamp_verifies_now_and_years_later(tsa: Authority) -> None:
    request = make_request(TEXT)
    response = tsa.answer(request.data)
    now = verify_timestamp(response, TEXT, tsa.certificate, nonce=request.nonce)
    assert now > 1_700_000_000_000
    assert now % 1000 == 0
    assert verify_timestamp(response, TEXT, tsa.certificate) == now


def test_openssl_itself_agrees(tsa: Authority) -> None:
    tsa.answer(make_request(TEXT).data)
    (tsa.folder / "text").write_bytes(TEXT)
    subprocess.run(
        ["openssl", "ts", "-verify", "-data", "text", "-in", "reply.tsr", "-CAfile", "root.crt"],
        cwd=tsa.folder,
        check=True,
        capture_output=True,
    )


def test_another_text_nonce_or_root_is_refused(tsa: Authority) -> None:
    request = make_request(TEXT)
    response = tsa.answer(request.data)
    refused(response, TEXT + b"x", tsa.certificate)
    refused(response, TEXT, tsa.certificate, request.nonce + 1)
    with authority("another") as other:
        refused(response, TEXT, other.certificate)
        refused(other.answer(request.data), TEXT, tsa.certificate)


def test_one_flipped_bit_is_refused(tsa: Authority) -> None:
    response = tsa.answer(make_request(TEXT).data)
    verified = verify_timestamp(response, TEXT, tsa.certificate)
    taken = []
    for at in range(0, len(response), 7):
        changed = bytearray(response)
        changed[at] ^= 1
        try:
            taken.append((at, verify_timestamp(bytes(changed), TEXT, tsa.certificate)))
        except SimpulError as error:
            if error.code is not Code.TIMESTAMP_INVALID:
                raise
    # What isn't signed may be flipped (a root that comes along unasked); the time may not.
    assert all(time == verified for _, time in taken)


@pytest.mark.parametrize(
    "response", [b"", b"\x30\x00", b"no answer", bytes(MAX_RESPONSE_BYTES + 1)]
)
def test_what_is_no_answer_is_refused(tsa: Authority, response: bytes) -> None:
    refused(response, TEXT, tsa.certificate)


def test_a_rejection_is_refused(tsa: Authority) -> None:
    # PKIStatusInfo { status rejection }: no token.
    refused(bytes.fromhex("30053003020102"), TEXT, tsa.certificate)
