"""Calls that must not get through: each with a status, a stable code, one line and a call id."""

import pytest

from tests.scenario.harness import LABUAN_BAJO, WISATA, Federation, call, done, refused

BAD = {
    "member": ({"simpul-to": "ID/DAERAH/99.99/x"}, "NOT_FOUND", "MEMBER_UNKNOWN"),
    "subsystem": ({"simpul-to": "ID/DAERAH/53.15/x"}, "NOT_FOUND", "SUBSYSTEM_UNKNOWN"),
    "no_address": ({"simpul-to": ""}, "INVALID_ARGUMENT", "ADDRESS_MISSING"),
    "malformed": ({"simpul-to": "nonsense"}, "INVALID_ARGUMENT", "ID_MALFORMED"),
    "region": (
        {"simpul-to": "", "simpul-region": "99.99"}, "NOT_FOUND", "REGION_UNKNOWN"
    ),
    "region_malformed": (
        {"simpul-to": "", "simpul-region": "x"}, "INVALID_ARGUMENT", "ID_MALFORMED"
    ),
    "two_addresses": ({"simpul-region": "53.15"}, "INVALID_ARGUMENT", "METADATA_MALFORMED"),
    "purpose": ({"simpul-purpose": "iklan"}, "PERMISSION_DENIED", "ACCESS_PURPOSE"),
    "no_token": ({"simpul-token": ""}, "UNAUTHENTICATED", "APP_CREDENTIAL_MISSING"),
    "wrong_token": ({"simpul-token": "x" * 40}, "UNAUTHENTICATED", "APP_CREDENTIAL_WRONG"),
    "other_subsystem": (
        {"simpul-from": "ID/KEMENTERIAN/KOMDIGI/x"}, "PERMISSION_DENIED", "APP_SUBSYSTEM_DENIED"
    ),
    "nodes_own_key": ({"simpul-agreement": "x"}, "INVALID_ARGUMENT", "METADATA_MALFORMED"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_metadata(federation: Federation, name: str) -> None:
    metadata, status, code = BAD[name]
    told = federation.ask(metadata)
    assert (told.status, told.code) == (status, code), told
    assert told.message
    assert "\n" not in told.message
    assert len(told.call_id) == 32


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/{WISATA}/Nothing", "METHOD_UNKNOWN"),
        ("/nobody.v1.Nothing/Get", "SERVICE_UNKNOWN"),
    ],
)
def test_unknown_service_and_method(federation: Federation, path: str, code: str) -> None:
    metadata = {"simpul-to": LABUAN_BAJO, "simpul-token": federation.token}
    told = call(federation.consumer.gateway, path, metadata, b"")
    assert (told.status, told.code) == ("UNIMPLEMENTED", code), told


def test_a_path_that_is_no_method(federation: Federation) -> None:
    """Turned away before it is a call, so without an id."""
    told = call(federation.consumer.gateway, "/nonsense", {"simpul-to": LABUAN_BAJO}, b"")
    assert told.status == "UNIMPLEMENTED", told


def test_a_consumer_that_is_not_allowed(federation: Federation) -> None:
    other = "ID/KEMENTERIAN/KOMDIGI/portal"
    home = federation.consumer.home
    token = done("app", "add", "portal", "--home", home, "--subsystem", other).out.strip()
    told = federation.ask({"simpul-token": token})
    assert (told.status, told.code) == ("PERMISSION_DENIED", "ACCESS_NO_AGREEMENT")
    done("app", "remove", "portal", "--home", home)
    told = federation.ask({"simpul-token": token})
    assert (told.status, told.code) == ("UNAUTHENTICATED", "APP_CREDENTIAL_WRONG")


def test_only_the_methods_that_were_allowed(federation: Federation) -> None:
    consumer = "ID/KEMENTERIAN/KOMDIGI/terbatas"
    done(
        "access", "allow", "--home", federation.provider.home, "--consumer", consumer,
        "--service", f"{LABUAN_BAJO}/{WISATA}", "--method", "Get",
    )  # fmt: skip
    home = federation.consumer.home
    token = done("app", "add", "terbatas", "--home", home, "--subsystem", consumer).out.strip()
    assert federation.ask({"simpul-token": token}).status == "OK"
    told = federation.ask({"simpul-token": token}, "List", b"")
    assert (told.status, told.code) == ("PERMISSION_DENIED", "ACCESS_METHOD")


def test_the_command_says_the_same(federation: Federation) -> None:
    home = ("--home", federation.consumer.home)
    refused("MEMBER_UNKNOWN", "call", f"ID/DAERAH/99.99/x/{WISATA}", "Get", *home)
    refused("SERVICE_UNKNOWN", "call", f"{LABUAN_BAJO}/nobody.v1.Nothing", "Get", *home)
    refused("METHOD_UNKNOWN", "call", f"{LABUAN_BAJO}/{WISATA}", "Nothing", *home)
    refused("ID_MALFORMED", "call", "nonsense", "Get", *home)
