import dataclasses

import pytest

from node.policy.apps import AppCredential
from node.store.apps import add_app, list_apps, remove_app
from node.store.engine import Store
from security.errors import Code, SimpulError
from security.identifiers import SubsystemId

ONE = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/super-app")
TWO = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/wisata")
BY_TOKEN = AppCredential("super-app", (ONE, TWO), token_sha256=b"t" * 32, expires_at_ms=99)
BY_CERTIFICATE = AppCredential("backend", (ONE,), certificate_sha256=b"c" * 32)


def test_apps_come_back_as_they_were(store: Store) -> None:
    add_app(store, BY_TOKEN, 1)
    add_app(store, BY_CERTIFICATE, 2)
    assert list_apps(store) == (BY_CERTIFICATE, BY_TOKEN)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(BY_TOKEN, token_sha256=b"u" * 32),
        dataclasses.replace(BY_TOKEN, name="other"),
    ],
    ids=["name", "credential"],
)
def test_a_name_or_credential_is_taken_once(store: Store, other: AppCredential) -> None:
    add_app(store, BY_TOKEN, 1)
    with pytest.raises(SimpulError) as caught:
        add_app(store, other, 2)
    assert caught.value.code is Code.ALREADY_EXISTS
    assert list_apps(store) == (BY_TOKEN,)


def test_a_removed_app_is_gone_with_its_subsystems(store: Store) -> None:
    add_app(store, BY_TOKEN, 1)
    remove_app(store, BY_TOKEN.name)
    assert list_apps(store) == ()
    add_app(store, dataclasses.replace(BY_TOKEN, subsystems=(ONE,)), 2)
    assert list_apps(store)[0].subsystems == (ONE,)
    with pytest.raises(SimpulError) as caught:
        remove_app(store, "nobody")
    assert caught.value.code is Code.NOT_FOUND
