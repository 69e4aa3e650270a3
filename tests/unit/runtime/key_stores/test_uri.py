"""PKCS#11 URIs: what is taken, what is refused, and that no PIN is ever shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.key_stores.uri import TokenUri
from security.errors import Code, SimpulError

TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


@given(
    st.builds(
        TokenUri,
        token=TEXTS,
        manufacturer=st.just("") | TEXTS,
        serial=st.just("") | TEXTS,
        model=st.just("") | TEXTS,
        object=TEXTS,
        id=st.binary(max_size=20),
        module_path=st.just("") | TEXTS.map(lambda text: f"/{text}"),
        pin_source=st.just("") | TEXTS.map(lambda text: f"/{text}"),
    )
)
def test_what_is_printed_is_read_again(uri: TokenUri) -> None:
    assert TokenUri.parse(str(uri)) == uri


@given(st.text(max_size=80))
def test_whatever_comes_is_read_or_refused(tail: str) -> None:
    code = Code.CONFIG_INVALID
    try:
        TokenUri.parse("pkcs11:" + tail)
    except SimpulError as error:
        code = error.code
    assert code is Code.CONFIG_INVALID


def test_all_attributes_are_read() -> None:
    read = TokenUri.parse(
        "pkcs11:token=Simpul%20HSM;serial=01;manufacturer=A;model=B;object=seal;id=%01%ff;"
        "type=private?module-path=/usr/lib/p11.so&pin-source=file:/etc/pin"
    )
    assert read == TokenUri(
        "Simpul HSM", "A", "01", "B", "seal", b"\x01\xff", "/usr/lib/p11.so", "/etc/pin"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begins with"),
        ("PKCS11:token=a;object=b", "begins with"),
        ("pkcs11:object=b", "names no token"),
        ("pkcs11:token=a", "names no key"),
        ("pkcs11:token=a;token=a;object=b", "twice"),
        ("pkcs11:token=;object=b", "no value for token"),
        ("pkcs11:token;object=b", "no value for token"),
        ("pkcs11:token=a;object=b;", "attribute ''"),
        ("pkcs11:token=a;object=b;type=public", "private key"),
        ("pkcs11:token=a;object=b;slot-id=1", "attribute 'slot-id'"),
        ("pkcs11:token=a;object=b?module-name=x", "attribute 'module-name'"),
        ("pkcs11:token=%zz;object=b", "percent-encoded"),
        ("pkcs11:token=a b;object=b", "percent-encoded"),
        ("pkcs11:token=%ff;object=b", "UTF-8"),
        ("pkcs11:token=%0a;object=b", "can't be printed"),
        ("pkcs11:token=a;object=" + "b" * 2100, "characters"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    with pytest.raises(SimpulError, match=why) as refused:
        TokenUri.parse(text)
    assert refused.value.code is Code.CONFIG_INVALID


def test_a_pin_in_it_is_refused_and_not_repeated() -> None:
    with pytest.raises(SimpulError, match="must not hold the PIN") as refused:
        TokenUri.parse("pkcs11:token=a;object=b?pin-value=918273")
    assert "918273" not in str(refused.value)
