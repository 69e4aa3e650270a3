"""`simpul registry root|policy` on a holder's machine, which has no registry and no network."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from cli import ceremony, files
from registry.directory import proposals
from registry.directory.layout import Role
from registry.directory.proposals import Keys
from registry.directory.roles import first_root
from runtime.clock import now_ms
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeRegistry
from tests.unit.cli.fakes_trust import OWN


@pytest.fixture
def keys(simpul: Simpul, tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / f"{name}.pem" for name in ("anna", "budi", "citra")}
    for name, file in made.items():
        ran = simpul("registry", "root", "key", name, "--out", str(file)).ok()
        assert ran.out.strip() == f"{file}.pub"
    return made


@pytest.fixture
def proposal(keys: dict[str, Path], tmp_path: Path) -> Path:
    """A root by two of three, in place of one that a registry made for itself."""
    own = {role: CryptoSigner.generate_ed25519() for role in Role}
    root = first_root(own, now_ms()).data
    cards = tuple(ceremony.read_holder(Path(f"{file}.pub")) for file in keys.values())
    made = proposals.propose_root(root, {Role.ROOT: Keys(cards, 2)}, now_ms())
    file = tmp_path / "root-2.json"
    file.write_bytes(proposals.sign(made, own[Role.ROOT]).to_bytes())
    return file


def test_a_key_is_private_and_made_once(
    simpul: Simpul, keys: dict[str, Path], tmp_path: Path
) -> None:
    before = keys["anna"].read_bytes()
    assert keys["anna"].stat().st_mode & 0o777 == 0o600
    again = simpul("registry", "root", "key", "anna", "--out", str(keys["anna"]))
    assert "ALREADY_EXISTS" in again.err
    assert keys["anna"].read_bytes() == before
    assert b"PRIVATE" not in Path(f"{keys['anna']}.pub").read_bytes()
    bad = simpul("registry", "root", "key", "a\tb", "--out", str(tmp_path / "x.pem"))
    assert "KEY_MALFORMED" in bad.err


def test_a_holder_reads_and_signs(simpul: Simpul, keys: dict[str, Path], proposal: Path) -> None:
    shown = simpul("registry", "root", "show", str(proposal)).ok()
    assert "anna, budi, citra" in shown.out
    assert "0 of 2" in shown.out
    signed = simpul(
        "registry", "root", "sign", str(proposal), "--key", str(keys["budi"]), "--yes"
    ).ok()
    assert "1 of 2" in signed.out
    args = ("registry", "root", "sign", str(proposal), "--key", str(keys["anna"]))
    ran = simpul(*args, "--yes", "--json").ok().json()
    assert ran["complete"]
    assert ran["parts"][1]["missing"] == ["citra"]
    # Twice is as once.
    assert simpul(*args, "--yes", "--json").ok().json() == ran


def test_nothing_is_signed_without_a_yes(
    simpul: Simpul, keys: dict[str, Path], proposal: Path
) -> None:
    before = proposal.read_bytes()
    ran = simpul("registry", "root", "sign", str(proposal), "--key", str(keys["anna"]))
    assert ran.code == 1
    assert proposal.read_bytes() == before


def test_a_key_may_have_a_passphrase(
    simpul: Simpul, keys: dict[str, Path], proposal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = load_pem_private_key(keys["anna"].read_bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    keys["anna"].write_bytes(locked)
    args = ("registry", "root", "sign", str(proposal), "--key", str(keys["anna"]), "--yes")
    monkeypatch.setenv(files.PASSPHRASE, "wrong")
    assert "KEY_MALFORMED" in simpul(*args).err
    monkeypatch.setenv(files.PASSPHRASE, "secret")
    assert "1 of 2" in simpul(*args).ok().out


def test_copies_are_merged(
    simpul: Simpul, keys: dict[str, Path], proposal: Path, tmp_path: Path
) -> None:
    copies = []
    for name in ("anna", "citra"):
        copy = tmp_path / f"{name}.json"
        copy.write_bytes(proposal.read_bytes())
        key = str(keys[name])
        simpul("registry", "root", "sign", str(copy), "--key", key, "--yes").ok()
        copies.append(str(copy))
    out = tmp_path / "merged.json"
    merge = ("registry", "root", "merge", *copies, "--out", str(out), "--json")
    assert simpul(*merge).ok().json()["complete"]
    assert "ALREADY_EXISTS" in simpul(*merge).err


@pytest.mark.parametrize("text", ["", "[]", '{"holder": "anna"}', '{"holder": 1}'])
def test_what_is_no_public_key_is_not_taken(simpul: Simpul, tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.pub"
    file.write_text(text)
    out = str(tmp_path / "o.json")
    args = ("--threshold", "1", "--out", out)
    ran = simpul("registry", "root", "init", "--holder", str(file), *args)
    assert "REQUEST_MALFORMED" in ran.err
    assert not Path(out).exists()


def test_what_is_no_proposal_is_refused(
    simpul: Simpul, keys: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"format": "another"}))
    assert "CHANGE_INVALID" in simpul("registry", "root", "show", str(file)).err
    gone = simpul("registry", "root", "sign", str(tmp_path / "q"), "--key", str(keys["anna"]))
    assert "NOT_FOUND" in gone.err


def test_a_policy_is_shown_changed_proposed_and_published(
    simpul: Simpul, registry: FakeRegistry, tmp_path: Path
) -> None:
    own = simpul.home / "keys"
    own.mkdir()
    pem = OWN[Role.TARGETS].private_bytes
    (own / "targets.pem").write_bytes(pem)
    file, out = tmp_path / "policy.json", tmp_path / "policy-2.json"
    policy = json.loads(simpul("registry", "policy", "show").ok().out)
    policy["stale_after_ms"] = "60000"
    file.write_text(json.dumps(policy))
    ran = simpul("registry", "policy", "propose", str(file), "--out", str(out)).ok()
    assert '"600000"' in ran.out
    assert "1 of 1" in ran.out
    assert "in force" in simpul("registry", "policy", "publish", str(out)).ok().err
    assert registry.heard.last().proposal == out.read_bytes()


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("text", "code"),
    [("{", "REQUEST_MALFORMED"), ('{"x": 1}', "REQUEST_MALFORMED"), ("{}", "DIRECTORY_UNTRUSTED")],
)
def test_what_is_no_policy_is_not_proposed(
    simpul: Simpul, tmp_path: Path, text: str, code: str
) -> None:
    file, out = tmp_path / "policy.json", tmp_path / "policy-2.json"
    file.write_text(text)
    assert code in simpul("registry", "policy", "propose", str(file), "--out", str(out)).err
    assert not out.exists()


@pytest.mark.usefixtures("registry")
def test_a_rotation_names_who_is_there(simpul: Simpul, tmp_path: Path) -> None:
    out = tmp_path / "root-2.json"
    gone = simpul("registry", "root", "rotate", "--remove", "zaki", "--out", str(out))
    assert "NOT_FOUND" in gone.err
    assert "0 of 1" in simpul("registry", "root", "rotate", "--out", str(out)).ok().out
    assert "ROOT 1" in simpul("registry", "root", "show").ok().out


def test_the_log_is_listed_and_proven(
    simpul: Simpul, registry: FakeRegistry, tmp_path: Path
) -> None:
    ran = simpul("registry", "log", "list", "--member", "ID/DAERAH/53.15").ok()
    assert "members/DAERAH/53.15" in ran.out
    assert not registry.heard.last().HasField("start")
    assert simpul("registry", "log", "list", "--from", "3", "--json").ok().json()["size"] == 5
    assert registry.heard.last().start == 3
    out, root = tmp_path / "proof.json", tmp_path / "root.json"
    simpul("registry", "log", "prove", "4", "--out", str(out)).ok()
    assert registry.heard.last().number == 4
    assert "ALREADY_EXISTS" in simpul("registry", "log", "prove", "4", "--out", str(out)).err
    root.write_bytes(first_root(OWN, now_ms()).data)
    assert "PROOF_INVALID" in simpul("registry", "log", "verify", str(out), "--root", str(root)).err


def test_one_command_revokes_a_node_a_key_or_a_member(
    simpul: Simpul, registry: FakeRegistry
) -> None:
    simpul("registry", "revoke", "ID/~labuan-bajo-1").ok()
    assert registry.heard.last().node == "ID/~labuan-bajo-1"
    simpul("registry", "revoke", "ab" * 32, "--json").ok()
    assert registry.heard.last().key == b"\xab" * 32
    assert "CHANGE_INVALID" in simpul("registry", "revoke", "ID/DAERAH/53.15").err
    simpul("registry", "revoke", "ID/DAERAH/53.15", "--reason", "captured").ok()
    assert registry.heard.last().state == "suspended"
