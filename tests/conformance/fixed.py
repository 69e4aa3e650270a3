"""What every vector is built from: fixed keys, names and times, and how vectors are written.

The keys are of no use but here: their secrets stand in this file, or follow from their names.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from security.identifiers import MemberId, NodeId, SubsystemId
from security.keys import Algorithm, PrivateKey

VECTORS = Path(__file__).parent / "vectors"

# 2026-01-05T02:00:00Z.
NOW_MS = 1_767_578_400_000
DAY_MS = 86_400_000

FEDERATION = "ID"
REGENCY = MemberId.parse("ID/DAERAH/53.15")
MINISTRY = MemberId.parse("ID/KEMENTERIAN/KOMDIGI")
TOURISM = SubsystemId.parse("ID/DAERAH/53.15/pariwisata")
SUPER_APP = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/super-app")
REGENCY_NODE = NodeId.parse("ID/~labuan-bajo-1")
MINISTRY_NODE = NodeId.parse("ID/~komdigi-1")
SERVICE = "wisata.v1.Wisata"

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

RSA_PEM = (Path(__file__).parent / "rsa_key.pem").read_bytes()


def fixed_bytes(name: str, count: int) -> bytes:
    """As many bytes as asked for, that look random and follow from a name: salts, nonces."""
    return hashlib.shake_256(b"simpul conformance " + name.encode()).digest(count)


def key(name: str, algorithm: Algorithm = Algorithm.ED25519) -> PrivateKey:
    """The private key that follows from a name; every RSA key is the same one."""
    return PrivateKey.from_pem(_key_pem(name, algorithm))


def render(document: Mapping[str, Any]) -> str:
    """A vector file's text: one spelling of each document."""
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"


def write(documents: Mapping[str, Mapping[str, Any]], folder: Path = VECTORS) -> None:
    """Write each document to `<name>.json`."""
    folder.mkdir(exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(render(document), encoding="utf-8")


def differences(documents: Mapping[str, Mapping[str, Any]], folder: Path = VECTORS) -> list[str]:
    """Names of the files that aren't, byte for byte, what the documents render to."""
    found = []
    for name, document in documents.items():
        path = folder / f"{name}.json"
        if not path.exists() or path.read_bytes() != render(document).encode():
            found.append(path.name)
    return found


def main(
    documents: Mapping[str, Mapping[str, Any]], arguments: list[str], folder: Path = VECTORS
) -> int:
    """Write the files, or with `--check` compare them and print what differs; the exit code."""
    if arguments != ["--check"]:
        write(documents, folder)
        return 0
    found = differences(documents, folder)
    for name in found:
        print(f"{name} isn't what its script builds; build it again, and look at what changed")  # noqa: T201
    return 1 if found else 0


def _key_pem(name: str, algorithm: Algorithm) -> bytes:
    seed = fixed_bytes(f"key {name}", 32)
    match algorithm:
        case Algorithm.ED25519:
            return _pem(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
        case Algorithm.ECDSA_P256_SHA256:
            scalar = int.from_bytes(seed, "big") % (_P256_ORDER - 1) + 1
            return _pem(ec.derive_private_key(scalar, ec.SECP256R1()))
        case Algorithm.RSA_PSS_SHA256:
            return RSA_PEM
        case Algorithm.ML_DSA_65:
            return _pem(mldsa.MLDSA65PrivateKey.from_seed_bytes(seed))
        case Algorithm.ED25519_ML_DSA_65:
            return _key_pem(name, Algorithm.ED25519) + _key_pem(name, Algorithm.ML_DSA_65)


def _pem(
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey,
) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
