"""The authority's key in a token: nodes join, and wait while it is away."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from registry import app
from registry.home import NewRegistry, RegistryHome
from runtime.key_stores import token
from runtime.key_stores.store import KeyStore
from runtime.key_stores.uri import TokenUri
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.keys import Algorithm
from tests.support.hsm import PIN, Hsm, in_this_process, make_hsm
from tests.unit.registry.conftest import KOMODO, WAKATOBI
from tests.unit.registry.running import refusal, run

KEY = TokenUri(token="simpul", object="authority")


@pytest.fixture
def hsm(tmp_path: Path) -> Iterator[Hsm]:
    made = make_hsm(tmp_path / "hsm")
    with in_this_process(made):
        yield made


@pytest.fixture
def new(hsm: Hsm) -> NewRegistry:
    return NewRegistry(authority_key=KEY, authority_module=hsm.library)


def test_no_key_lies_in_the_home(tmp_path: Path, new: NewRegistry, hsm: Hsm) -> None:
    home = app.init(tmp_path / "r", new)

    assert not (home.path / "ca" / "authority.pem").exists()
    assert str(KEY) in (home.path / "ca" / "authority.uri").read_text()
    assert PIN not in home.settings_file.read_text()
    root = x509.load_pem_x509_certificate((home.path / "ca" / "authority.crt").read_bytes())
    root.verify_directly_issued_by(root)


async def test_nodes_join_and_wait_while_the_token_is_away(
    tmp_path: Path, new: NewRegistry, hsm: Hsm
) -> None:
    home = app.init(tmp_path / "r", new)
    async with run(home.path) as registry:
        await registry.joined(KOMODO)

        hsm.remove()
        try:
            error, _ = await refusal(registry.joined(WAKATOBI, NodeId.parse("ID/~wakatobi-1")))
            assert error.code is Code.HSM_UNAVAILABLE
        finally:
            hsm.put_back()
        await asyncio.sleep(token.RETRY_S)

        other = NodeId.parse("ID/~wakatobi-2")
        assert (await registry.joined(WAKATOBI, other)).node == other


def test_a_key_that_is_not_on_p256_is_refused(tmp_path: Path, new: NewRegistry, hsm: Hsm) -> None:
    KeyStore(hsm.library, lambda: PIN).in_token(KEY, Algorithm.ED25519)

    with pytest.raises(SimpulError, match="isn't on P-256") as refused:
        app.init(tmp_path / "r", new)
    assert refused.value.code is Code.HSM_KEY
    assert not (tmp_path / "r").exists()


def test_the_doctor_tries_the_token(tmp_path: Path, new: NewRegistry, hsm: Hsm) -> None:
    home = app.init(tmp_path / "r", new)
    tokens = KeyStore(hsm.library, lambda: PIN)
    RegistryHome.open(home.path).authority(tokens=tokens).check_signs()

    wrong = replace(tokens, pin=lambda: "")
    token.module(hsm.library).renew(token.module(hsm.library).generation)
    with pytest.raises(SimpulError) as refused:
        RegistryHome.open(home.path).authority(tokens=wrong).check_signs()
    assert refused.value.code is Code.HSM_PIN
