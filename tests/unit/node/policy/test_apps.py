import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.apps import AppBook, AppCredential, AppIdentity, make_token, token_hash
from security.errors import Code, SimpulError
from security.identifiers import SubsystemId

ONE = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/super-app")
TWO = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/wisata")
OTHER = SubsystemId.parse("ID/DAERAH/53.15/pariwisata")
TOKEN = make_token(b"\x01" * 32)
CERTIFICATE = b"c" * 32
APP = AppCredential("super-app", (ONE, TWO), token_sha256=token_hash(TOKEN), expires_at_ms=100)
BACKEND = AppCredential("backend", (ONE,), certificate_sha256=CERTIFICATE)
BOOK = AppBook([APP, BACKEND])
LOOPBACK = AppBook([APP, BACKEND], loopback=ONE)


def refused(book: AppBook, token: str | None, certificate: bytes | None, **more: object) -> Code:
    with pytest.raises(SimpulError) as caught:
        book.authenticate(token, certificate, **{"local": True, "now_ms": 1, **more})  # type: ignore[arg-type]
    return caught.value.code


def test_a_token_says_who_calls() -> None:
    found = BOOK.authenticate(TOKEN, None, local=False, now_ms=99)
    assert found == AppIdentity("super-app", (ONE, TWO))


def test_a_certificate_says_who_calls() -> None:
    found = BOOK.authenticate(None, CERTIFICATE, local=False, now_ms=99)
    assert found == AppIdentity("backend", (ONE,))


def test_a_token_has_its_randomness_and_nothing_else() -> None:
    assert len(TOKEN) == len("simpul_app_") + 43
    with pytest.raises(ValueError, match="32 random bytes"):
        make_token(b"short")


def test_an_expired_token_is_wrong() -> None:
    assert refused(BOOK, TOKEN, None, now_ms=100) is Code.APP_CREDENTIAL_WRONG


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.lower(), "x" * 10_000])
def test_a_wrong_token_is_wrong_even_on_loopback(token: str) -> None:
    assert refused(LOOPBACK, token, None) is Code.APP_CREDENTIAL_WRONG


@given(st.text(max_size=80))
def test_no_text_but_the_token_is_let_in(token: str) -> None:
    assert refused(LOOPBACK, token, None) is Code.APP_CREDENTIAL_WRONG


def test_a_hash_that_only_begins_alike_is_wrong() -> None:
    shown = CERTIFICATE[:4] + b"x" * 28
    assert refused(LOOPBACK, None, shown) is Code.APP_CREDENTIAL_WRONG
    assert refused(LOOPBACK, None, CERTIFICATE[:4]) is Code.APP_CREDENTIAL_WRONG
    assert refused(LOOPBACK, None, b"") is Code.APP_CREDENTIAL_WRONG


def test_a_token_s_hash_is_no_certificate_s() -> None:
    assert refused(BOOK, None, token_hash(TOKEN)) is Code.APP_CREDENTIAL_WRONG


def test_without_a_credential_only_the_explicit_setting_lets_in() -> None:
    assert refused(BOOK, None, None) is Code.APP_CREDENTIAL_MISSING
    assert refused(LOOPBACK, None, None, local=False) is Code.APP_CREDENTIAL_MISSING
    assert LOOPBACK.authenticate(None, None, local=True, now_ms=1).subsystems == (ONE,)


def test_the_app_chooses_among_its_subsystems() -> None:
    app = AppIdentity("super-app", (ONE, TWO))
    assert app.choose(str(TWO)) == TWO
    assert AppIdentity("backend", (ONE,)).choose(None) == ONE
    for asked, code in (
        (None, Code.APP_SUBSYSTEM_AMBIGUOUS),
        (str(OTHER), Code.APP_SUBSYSTEM_DENIED),
        ("not an id", Code.ID_MALFORMED),
        ("", Code.ID_MALFORMED),
    ):
        with pytest.raises(SimpulError) as caught:
            app.choose(asked)
        assert caught.value.code is code
    with pytest.raises(SimpulError) as caught:
        app.choose(None)
    assert str(ONE) in caught.value.message
    assert str(TWO) in caught.value.message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "Super App"}, Code.ID_MALFORMED),
        ({"name": "loopback"}, Code.ID_MALFORMED),
        ({"subsystems": ()}, Code.REQUEST_MALFORMED),
        ({"token_sha256": None}, Code.REQUEST_MALFORMED),
        ({"certificate_sha256": CERTIFICATE}, Code.REQUEST_MALFORMED),
    ],
)
def test_a_credential_is_whole_or_none(change: dict[str, object], code: Code) -> None:
    with pytest.raises(SimpulError) as caught:
        dataclasses.replace(APP, **change)  # type: ignore[arg-type]
    assert caught.value.code is code
