"""One contract for every place that keys are kept in: files, encrypted files, tokens."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.key_stores import token
from runtime.key_stores.store import KeyStore
from runtime.key_stores.uri import TokenUri
from security.errors import Code, SimpulError
from security.keys import Algorithm, PrivateKey, PublicKey, generate
from tests.support.hsm import PIN, Hsm, in_this_process, make_hsm

DOMAIN = b"simpul/v1/seal"
IN_TOKENS = (Algorithm.ED25519, Algorithm.ECDSA_P256_SHA256, Algorithm.RSA_PSS_SHA256)


@pytest.fixture
def hsm(tmp_path: Path) -> Iterator[Hsm]:
    made = make_hsm(tmp_path / "hsm")
    with in_this_process(made):
        yield made


def uri(name: str = "key") -> TokenUri:
    return TokenUri(token="simpul", object=name)


def pin_store(hsm: Hsm, pin: str = PIN) -> KeyStore:
    return KeyStore(hsm.library, lambda: pin)


class Place:
    """A kind of store, and how a new key of it is made."""

    def __init__(self, kind: str, hsm: Hsm | None) -> None:
        self.hsm = hsm
        self.store = {
            "file": KeyStore(),
            "encrypted": KeyStore(passphrase=lambda: "open sesame"),
        }.get(kind) or pin_store(hsm)  # type: ignore[arg-type]

    def make(self, algorithm: Algorithm = Algorithm.ED25519, name: str = "key") -> PrivateKey:
        if self.hsm is None:
            return generate(algorithm)
        return self.store.in_token(uri(name), algorithm)


@pytest.fixture(params=["file", "encrypted", "token"])
def place(request: pytest.FixtureRequest) -> Place:
    kind = request.param
    return Place(kind, request.getfixturevalue("hsm") if kind == "token" else None)


@pytest.mark.parametrize("algorithm", IN_TOKENS)
def test_a_key_that_was_kept_is_read_and_signs(
    place: Place, algorithm: Algorithm, tmp_path: Path
) -> None:
    made = place.make(algorithm)

    read = place.store.read(place.store.write(tmp_path / "seal", made))

    assert read.public == made.public
    assert read.public.algorithm is algorithm
    for key in (made, read):
        for data in (b"", b"one", bytes(5000)):
            made.public.verify(DOMAIN, data, key.sign(DOMAIN, data))
        made.public.verify_plain(b"note\n", key.sign_plain(b"note\n"))


def test_a_kept_key_is_private_and_never_overwritten(place: Place, tmp_path: Path) -> None:
    made = place.make()
    file = place.store.write(tmp_path / "seal", made)
    before = file.read_bytes()

    with pytest.raises(FileExistsError):
        place.store.write(tmp_path / "seal", made)

    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o077 == 0


def test_threads_sign_with_one_key_at_once(place: Place) -> None:
    key = place.make()
    texts = [str(number).encode() for number in range(60)]

    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(lambda text: key.sign(DOMAIN, text), texts))

    for text, signature in zip(texts, signatures, strict=True):
        key.public.verify(DOMAIN, text, signature)


def test_what_is_no_key_is_refused(place: Place, tmp_path: Path) -> None:
    file = place.store.write(tmp_path / "seal", place.make())
    file.write_bytes(file.read_bytes()[:-10])

    with pytest.raises(SimpulError) as refused:
        place.store.read(file)
    assert refused.value.code in {Code.KEY_MALFORMED, Code.CONFIG_INVALID}


def test_an_encrypted_key_holds_nothing_in_the_clear_and_wants_its_passphrase(
    tmp_path: Path,
) -> None:
    file = Place("encrypted", None).store.write(tmp_path / "seal", generate(Algorithm.ED25519))
    assert b"ENCRYPTED" in file.read_bytes()

    with pytest.raises(SimpulError, match=r"keys\.passphrase_file"):
        KeyStore().read(file)
    with pytest.raises(SimpulError, match="another one"):
        KeyStore(passphrase=lambda: "other").read(file)


def test_a_key_of_the_token_is_taken_and_not_made_twice(hsm: Hsm) -> None:
    first = pin_store(hsm).in_token(uri(), Algorithm.ED25519)
    again = pin_store(hsm).in_token(uri(), Algorithm.ED25519)
    other = pin_store(hsm).in_token(uri("other"), Algorithm.ED25519)

    assert first.public == again.public != other.public


def test_a_token_key_waits_for_a_device_and_never_leaves_it(hsm: Hsm) -> None:
    key = pin_store(hsm).in_token(uri(), Algorithm.ED25519)

    assert key.on_device
    assert not generate(Algorithm.ED25519).on_device
    with pytest.raises(SimpulError) as refused:
        key.to_pem()
    assert refused.value.code is Code.HSM_KEY


def test_a_reference_is_read_strictly() -> None:
    public = generate(Algorithm.ED25519).public
    data = token.Reference(uri(), public).to_bytes()

    assert token.Reference.from_bytes(data).public == public
    for bad in (b"", data + b"\n", data[:-1], data.upper(), data.replace(b"ED25519", b"DSA")):
        with pytest.raises(SimpulError) as refused:
            token.Reference.from_bytes(bad)
        assert refused.value.code is Code.KEY_MALFORMED


# Faults.


class Hands:
    """A clock whose owner turns it."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock(hsm: Hsm) -> Iterator[Hands]:
    held, hands = token.module(hsm.library), Hands()
    before, held.clock = held.clock, hands
    yield hands
    held.clock = before


def test_a_token_that_went_and_came_back_signs_again(hsm: Hsm, clock: Hands) -> None:
    key = pin_store(hsm).in_token(uri(), Algorithm.ED25519)
    key.sign(DOMAIN, b"before")

    hsm.remove()
    with pytest.raises(SimpulError) as away:
        key.sign(DOMAIN, b"without")
    hsm.put_back()
    # Nothing hammers a device that was just away.
    with pytest.raises(SimpulError) as too_soon:
        key.sign(DOMAIN, b"soon")
    clock.at += token.RETRY_S

    key.public.verify(DOMAIN, b"after", key.sign(DOMAIN, b"after"))
    assert away.value.code is too_soon.value.code is Code.HSM_UNAVAILABLE


def test_a_lost_session_is_opened_again_unseen(hsm: Hsm) -> None:
    store = pin_store(hsm)
    keys = [store.in_token(uri(name), Algorithm.ED25519) for name in ("a", "b")]
    for key in keys:
        key.sign(DOMAIN, b"")

    token.module(hsm.library).library().reinitialize()

    for key in (*keys, *keys):
        key.public.verify(DOMAIN, b"x", key.sign(DOMAIN, b"x"))


def test_a_wrong_pin_is_tried_once_only(hsm: Hsm, clock: Hands) -> None:
    with pytest.raises(SimpulError, match="the token refuses it") as wrong:
        pin_store(hsm, "9999").in_token(uri(), Algorithm.ED25519)
    with pytest.raises(SimpulError, match="refused before"):
        pin_store(hsm, "9999").in_token(uri(), Algorithm.ED25519)

    assert wrong.value.code is Code.HSM_PIN
    assert "9999" not in wrong.value.message
    assert pin_store(hsm).in_token(uri(), Algorithm.ED25519).on_device


def test_a_key_is_known_while_its_token_has_no_pin(hsm: Hsm, tmp_path: Path) -> None:
    made = pin_store(hsm).in_token(uri(), Algorithm.ED25519)
    file = KeyStore().write(tmp_path / "seal", made)
    held = token.module(hsm.library)
    held.renew(held.generation)

    key = KeyStore(hsm.library).read(file)

    assert key.public == made.public
    with pytest.raises(SimpulError, match=r"keys\.pin_file") as refused:
        key.sign(DOMAIN, b"")
    assert refused.value.code is Code.HSM_PIN


def test_another_key_of_the_same_name_is_found_out(hsm: Hsm, tmp_path: Path) -> None:
    store = pin_store(hsm)
    store.in_token(uri(), Algorithm.ED25519)
    stranger = PublicKey(Algorithm.ED25519, generate(Algorithm.ED25519).public.key)
    file = tmp_path / "seal.uri"
    file.write_bytes(token.Reference(uri(), stranger).to_bytes())

    with pytest.raises(SimpulError, match="is another key") as refused:
        store.read(file).sign(DOMAIN, b"")
    assert refused.value.code is Code.HSM_KEY


def test_two_tokens_of_one_name_are_told_apart_by_nothing_but_more(hsm: Hsm) -> None:
    hsm.add_token("simpul")

    with pytest.raises(SimpulError, match="2 tokens fit") as refused:
        pin_store(hsm).in_token(uri(), Algorithm.ED25519)
    assert refused.value.code is Code.HSM_UNAVAILABLE


def test_what_tokens_cannot_do_is_said(hsm: Hsm) -> None:
    with pytest.raises(SimpulError, match="tokens know no ML_DSA_65") as refused:
        pin_store(hsm).in_token(uri(), Algorithm.ML_DSA_65)
    assert refused.value.code is Code.HSM_KEY


def test_a_library_that_is_none_is_said(tmp_path: Path) -> None:
    for module in ("", str(tmp_path / "p11.so")):
        with pytest.raises(SimpulError, match=r"keys\.module") as refused:
            KeyStore(module, lambda: PIN).in_token(uri(), Algorithm.ED25519)
        assert refused.value.code is Code.CONFIG_INVALID


def test_the_pin_comes_from_where_the_uri_says(hsm: Hsm, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text(f"{PIN}\n")
    named = TokenUri(
        token="simpul", object="key", module_path=hsm.library, pin_source=str(tmp_path / "pin")
    )

    assert KeyStore().in_token(named, Algorithm.ED25519).on_device


def test_where_the_extra_is_missing_the_error_says_what_to_install(
    hsm: Hsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None there makes Python's import fail as where it isn't installed.
    monkeypatch.setitem(__import__("sys").modules, "pkcs11", None)

    with pytest.raises(SimpulError, match=r"pip install 'simpul\[hsm\]'") as refused:
        pin_store(hsm).in_token(uri(), Algorithm.ED25519)
    assert refused.value.code is Code.CONFIG_INVALID
