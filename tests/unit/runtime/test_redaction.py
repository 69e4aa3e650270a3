import pytest

from runtime.redaction import REDACTED, names_a_secret, redact

PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "name",
    ["token", "app.token", "enrolment_tokens", "password", "Authorization", "cookie", "salt",
     "payload_salt", "private_key", "seal-private-key", "x-api-key", "key_pem", "hsm.pin"],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name",
    ["", "key_id", "seal_key_id", "token_id", "token_hash", "password_file", "public_key", "key",
     "call_id", "peer", "address", "pinned", "address_family"],
)  # fmt: skip
def test_what_only_speaks_of_one_is_shown(name: str) -> None:
    assert not names_a_secret(name)


def test_secrets_go_at_any_depth_and_the_rest_stays() -> None:
    value = {
        "peer": "ID/~a",
        "count": 3,
        "token": "abc",
        "request": {"headers": [{"authorization": "Bearer x", "te": "trailers"}]},
        "nothing": None,
        "id": b"\x01\xff",
        "both": ("a", PEM),
        "raw": PEM.encode(),
    }
    assert redact(value) == {
        "peer": "ID/~a",
        "count": 3,
        "token": REDACTED,
        "request": {"headers": [{"authorization": REDACTED, "te": "trailers"}]},
        "nothing": None,
        "id": "01ff",
        "both": ["a", REDACTED],
        "raw": REDACTED,
    }


def test_a_private_key_inside_a_text_is_seen() -> None:
    assert redact(f"could not parse {PEM}") == REDACTED
    assert redact("-----BEGIN CERTIFICATE-----") == "-----BEGIN CERTIFICATE-----"
