"""Builds the vectors of identifiers, hashes, trees, keys, statements and agreements.

    python tests/conformance/build_vectors.py            writes tests/conformance/vectors/*.json
    python tests/conformance/build_vectors.py --check    says which of them differ, and writes none

Everything follows from fixed keys, names and times. Bytes are in lower-case hex. Signatures by
algorithms that draw randomness can't be built again: samples of them stand in
`signature_samples.json`, are verified when the vectors are built, and are copied as they are.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from security import hashing, merkle
from security.agreement import (
    FieldTerm,
    HoursTerm,
    PayloadKeeper,
    RateTerm,
    agreement_hash,
    make_agreement,
    sign_agreement,
)
from security.delegation import delegation_hash, make_delegation, sign_delegation
from security.errors import SimpulError
from security.identifiers import MemberId, NodeId, RegionCode, ServiceId, SubsystemId
from security.kept import EntryPlace, Part, seal_part, wrap_key
from security.keys import Algorithm, PublicKey
from security.persons import PersonKind, normalised, person_tag
from security.revocation import Revocation, sign_delegation_revocation
from security.secret_key import SecretKey
from security.statement import MemberStatementView, make_statement, statement_hash
from security.token import EnrolmentToken, fingerprint, format_token
from tests.conformance import fixed
from tests.support.agreements import CONSUMER_IDENTITY, PROVIDER_IDENTITY, TERMS
from tests.support.delegations import BOUNDS, DELEGATOR, DELEGATOR_KEY, delegated
from tests.support.directories import statement_view

SAMPLES = Path(__file__).parent / "signature_samples.json"
MESSAGE = b"simpul conformance"

# As RFC 6962's reference implementation has them.
LEAVES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
NAMES: dict[str, tuple[type, list[str], list[str]]] = {
    "member": (
        MemberId,
        ["ID/DAERAH/53.15", "ID/KEMENTERIAN/KOMDIGI", "ID/BADAN_2/a-b_c.D", "X9/A/0"],
        ["", "ID", "id/DAERAH/53.15", "ID/DAERAH/5..3", "ID/DAERAH/.5", "ID/Daerah/53.15"],
    ),
    "subsystem": (
        SubsystemId,
        ["ID/DAERAH/53.15/pariwisata", "ID/KEMENTERIAN/KOMDIGI/super-app", "ID/A/B/0._-"],
        ["ID/DAERAH/53.15", "ID/DAERAH/53.15/Pariwisata", "ID/DAERAH/53.15/a/b"],
    ),
    "service": (
        ServiceId,
        ["ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata", "ID/A/B/c/_a.B"],
        ["ID/A/B/c/Wisata", "ID/A/B/c/a..B", "ID/A/B/c/a.B/List"],
    ),
    "node": (
        NodeId,
        ["ID/~labuan-bajo-1", "ID/~0"],
        ["ID/labuan-bajo-1", "ID/~", "ID/~a-", "ID/~-a", "ID/~A", "ID/~a.b", "ID/~registry"],
    ),
    "region": (
        RegionCode,
        ["53", "53.15", "53.15.01", "53.15.01.2001"],
        ["5", "53.1", "5315", "53.15.01.201", "53.15."],
    ),
}


def identifiers() -> dict[str, Any]:
    """Names that are well-formed, and some that aren't."""
    document: dict[str, Any] = {}
    for kind, (cls, good, bad) in NAMES.items():
        for text in good:
            require(str(cls.parse(text)) == text, f"{text} must print as it was parsed")  # type: ignore[attr-defined]
        for text in bad:
            require_refused(cls, text)
        document[kind] = {"valid": good, "invalid": bad}
    document["dns_names"] = {text: NodeId.parse(text).dns_name for text in NAMES["node"][1]}
    return document


def hashes() -> dict[str, Any]:
    """H and what is signed, for each domain."""
    cases: list[tuple[bytes, ...]] = [
        (),
        (b"",),
        (b"", b""),
        (b"ab",),
        (b"a", b"b"),
        (b"\x00" * 300,),
    ]
    domains = sorted(value for value in vars(hashing).values() if isinstance(value, bytes))
    return {
        "digest": [
            {
                "domain": domain.decode(),
                "parts": [part.hex() for part in parts],
                "hash": hashing.digest(domain, *parts).hex(),
            }
            for domain in domains
            for parts in cases
        ],
        "signed": [
            {
                "domain": domain.decode(),
                "data": MESSAGE.hex(),
                "signed": hashing.signed_bytes(domain, MESSAGE).hex(),
            }
            for domain in domains
        ],
    }


def kept() -> dict[str, Any]:
    """Kept parts of entries, their keys, and persons' tags."""
    wrap, index = (SecretKey(hashing.sha256(name)) for name in (b"wrap", b"index"))
    record_key = hashing.sha256(b"record")
    place = EntryPlace(slot=1, idx=70_000, entry_no=255)
    commitment = hashing.sha256(b"commitment")
    persons = [
        (PersonKind.SUBJECT, "3171 2345 6789 0123"),
        (PersonKind.SUBJECT, "3171234567890123"),
        (PersonKind.SUBJECT, "317123456789012"),
        (PersonKind.USER, "  Siti   NURHALIZA "),
        (PersonKind.USER, "\uff33iti nurhaliza"),
        (PersonKind.ISSUE, "AB-12/2026"),
        (PersonKind.ISSUE, "Stra\u00dfe"),
    ]
    return {
        "wrapping_key": wrap.data.hex(),
        "wrapping_key_id": wrap.id.hex(),
        "record_key": record_key.hex(),
        "wrapped": wrap_key(wrap, record_key).hex(),
        "place": {"slot": place.slot, "index": place.idx, "entry": place.entry_no},
        "commitment": commitment.hex(),
        "parts": [
            {
                "part": int(part),
                "data": data.hex(),
                "ciphertext": seal_part(record_key, place, part, commitment, data).hex(),
            }
            for part in Part
            for data in (b"", b"question", b"x" * 256, b"x" * 257)
        ],
        "index_key": index.data.hex(),
        "persons": [
            {
                "kind": int(kind),
                "text": text,
                "normalised": normalised(text),
                "tag": person_tag(index, kind, text).hex(),
            }
            for kind, text in persons
        ],
    }


def trees() -> dict[str, Any]:
    """Every root and path of the trees of up to eight leaves."""
    leaves = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
    sizes = range(len(leaves) + 1)
    frontiers = [merkle.Frontier()]
    for leaf in leaves:
        frontiers.append(frontiers[-1].append(leaf))
    return {
        "leaves": list(LEAVES),
        "leaf_hashes": [leaf.hex() for leaf in leaves],
        "roots": [merkle.root(leaves[:size]).hex() for size in sizes],
        "frontiers": [frontier.to_bytes().hex() for frontier in frontiers],
        "inclusion": [
            {
                "index": index,
                "size": size,
                "path": _hex(merkle.inclusion_path(leaves[:size], index)),
            }
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {"old": old, "new": new, "path": _hex(merkle.consistency_path(leaves[:new], old))}
            for new in sizes
            for old in range(new + 1)
        ],
    }


def keys() -> dict[str, Any]:
    """A key of each algorithm with its id, and a signature: built anew, or a verified sample."""
    samples = json.loads(SAMPLES.read_text(encoding="utf-8"))
    entries = []
    for algorithm in Algorithm:
        key = fixed.key("vector", algorithm)
        if algorithm is Algorithm.ED25519:
            signature = key.sign(hashing.SEAL, MESSAGE)
        else:
            signature = bytes.fromhex(samples[algorithm.name])
        key.public.verify(hashing.SEAL, MESSAGE, signature)
        entries.append(
            {
                "algorithm": algorithm.name,
                "number": algorithm.value,
                "key": key.public.key.hex(),
                "key_id": key.public.key_id.hex(),
                "domain": hashing.SEAL.decode(),
                "data": MESSAGE.hex(),
                "signature": signature.hex(),
                "deterministic": algorithm is Algorithm.ED25519,
            }
        )
    return {"keys": entries, "invalid": _invalid_keys()}


def statements() -> dict[str, Any]:
    """A member's first statement, a renewal, and a handover to a new identity key."""
    identity, successor = fixed.key("vector identity"), fixed.key("vector successor")
    seal = fixed.key("vector seal")
    first = statement_view(fixed.REGENCY, fixed.REGENCY_NODE, identity, seal)
    signed = make_statement(first, identity)
    second = replace(
        first,
        number=2,
        previous=statement_hash(signed.statement),
        issued_at_ms=fixed.NOW_MS,
        seal_keys=(
            *first.seal_keys,
            replace(first.seal_keys[0], key=fixed.key("vector", Algorithm.ML_DSA_65).public),
        ),
    )
    signed_second = make_statement(second, identity)
    third = replace(
        second,
        number=3,
        previous=statement_hash(signed_second.statement),
        identity_key=successor.public,
    )
    signed_third = make_statement(third, successor, identity)
    return {
        "statements": [
            {
                **_statement_fields(view),
                "statement": item.statement.hex(),
                "hash": statement_hash(item.statement).hex(),
                "signature": item.signature.hex(),
                "predecessor_signature": item.predecessor_signature.hex(),
            }
            for view, item in ((first, signed), (second, signed_second), (third, signed_third))
        ]
    }


def agreements() -> dict[str, Any]:
    """The least that an agreement can say, one with every term, and one by a delegation."""
    full = replace(
        TERMS,
        nonce=fixed.fixed_bytes("full agreement nonce", 16),
        request_fields=FieldTerm(("List/near", "Get/id")),
        response_fields=FieldTerm(("List/name", "List/position.latitude")),
        rate=RateTerm(10, 20, 10_000),
        payload_keeper=PayloadKeeper.BOTH,
        consumer_retention_days=30,
        replaces=agreement_hash(make_agreement(TERMS)),
        hours=(HoursTerm(0, 360), HoursTerm(480, 1440)),
    )
    return {
        "provider_identity": PROVIDER_IDENTITY.public.key.hex(),
        "consumer_identity": CONSUMER_IDENTITY.public.key.hex(),
        "agreements": [
            {
                "agreement": data.hex(),
                "hash": agreement_hash(data).hex(),
                "provider_signature": sign_agreement(data, PROVIDER_IDENTITY).hex(),
                "consumer_signature": sign_agreement(data, CONSUMER_IDENTITY).hex(),
            }
            for data in (make_agreement(TERMS), make_agreement(full))
        ],
        **_delegations(),
    }


def _delegations() -> dict[str, Any]:
    """A delegation with its end, and an agreement that rests on it."""
    delegation, rests = make_delegation(BOUNDS), delegated()
    end = sign_delegation_revocation(
        Revocation(delegation_hash(delegation), DELEGATOR, fixed.NOW_MS, "over"), DELEGATOR_KEY
    )
    return {
        "delegator_identity": DELEGATOR_KEY.public.key.hex(),
        "delegation": {
            "delegation": delegation.hex(),
            "hash": delegation_hash(delegation).hex(),
            "signature": sign_delegation(delegation, DELEGATOR_KEY).hex(),
            "revocation": end.revocation.hex(),
            "revocation_key_id": end.key_id.hex(),
            "revocation_signature": end.signature.hex(),
        },
        "delegated": {
            "agreement": rests.agreement.hex(),
            "hash": agreement_hash(rests.agreement).hex(),
            "provider_signature": rests.provider_signature.hex(),
            "consumer_signature": rests.consumer_signature.hex(),
            "delegation": rests.delegation.hex(),
            "delegator_signature": rests.delegator_signature.hex(),
        },
    }


def tokens() -> dict[str, Any]:
    """An enrolment token, and a fingerprint."""
    token = EnrolmentToken(
        secret=fixed.fixed_bytes("token secret", 32),
        member=fixed.REGENCY,
        node=fixed.REGENCY_NODE,
        root_sha256=hashing.sha256(b"root"),
        registry_certificate_sha256=hashing.sha256(b"certificate"),
    )
    public = [fixed.key(f"vector {name}").public for name in ("identity", "node", "seal")]
    return {
        "token": {
            "text": format_token(token),
            "secret": token.secret.hex(),
            "secret_hash": token.secret_hash.hex(),
            "member": str(token.member),
            "node": str(token.node),
            "root_sha256": token.root_sha256.hex(),
            "registry_certificate_sha256": token.registry_certificate_sha256.hex(),
        },
        "fingerprint": {
            "member": str(token.member),
            "node": str(token.node),
            "identity_key_id": public[0].key_id.hex(),
            "node_key_id": public[1].key_id.hex(),
            "seal_key_id": public[2].key_id.hex(),
            "text": fingerprint(token.member, token.node, *public),
        },
    }


def documents() -> dict[str, dict[str, Any]]:
    """Every vector file's content, by its name without `.json`."""
    return {
        "identifiers": identifiers(),
        "hashes": hashes(),
        "kept": kept(),
        "trees": trees(),
        "keys": keys(),
        "statements": statements(),
        "agreements": agreements(),
        "tokens": tokens(),
    }


def sample_signatures() -> dict[str, str]:
    """New samples, for `signature_samples.json`; other bytes each time, so only made by hand."""
    return {
        algorithm.name: fixed.key("vector", algorithm).sign(hashing.SEAL, MESSAGE).hex()
        for algorithm in Algorithm
        if algorithm is not Algorithm.ED25519
    }


def require(condition: bool, what: str) -> None:
    """Stop building: a vector that its own builder breaks is none."""
    if not condition:
        raise ValueError(what)


def require_refused(cls: type, text: str) -> None:
    """Stop building where a name that must be refused isn't."""
    try:
        cls.parse(text)  # type: ignore[attr-defined]
    except SimpulError:
        return
    raise ValueError(f"{text} must be refused as {cls.__name__}")


def _invalid_keys() -> list[dict[str, str]]:
    found = []
    for algorithm, key, why in (
        (Algorithm.ED25519, b"\x01" + b"\x00" * 31, "small order"),
        (Algorithm.ED25519, b"\xed" + b"\xff" * 30 + b"\x7f", "not canonical"),
        (Algorithm.ED25519, b"\x02" + b"\x00" * 31, "not on the curve"),
        (Algorithm.ED25519, b"\x03" * 31, "short"),
        (Algorithm.ECDSA_P256_SHA256, b"\x04" + b"\x01" * 64, "not on the curve"),
        (Algorithm.ECDSA_P256_SHA256, b"\x00", "infinity"),
        (Algorithm.ML_DSA_65, b"\x00" * 1951, "short"),
        (Algorithm.ED25519_ML_DSA_65, b"\x01" + b"\x00" * 1983, "small order"),
    ):
        try:
            PublicKey(algorithm, key)
        except SimpulError:
            found.append({"algorithm": algorithm.name, "key": key.hex(), "why": why})
            continue
        raise ValueError(f"a key must be refused: {why}")
    return found


def _statement_fields(view: MemberStatementView) -> dict[str, Any]:
    return {
        "member": str(view.member),
        "number": view.number,
        "identity_key_id": view.identity_key.key_id.hex(),
        "issued_at_ms": view.issued_at_ms,
        "seal_keys": [
            {
                "key_id": item.key.key_id.hex(),
                "node": str(item.node),
                "valid_from_ms": item.valid_from_ms,
                "valid_until_ms": item.valid_until_ms,
            }
            for item in view.seal_keys
        ],
    }


def _hex(path: tuple[bytes, ...]) -> list[str]:
    return [item.hex() for item in path]


if __name__ == "__main__":
    sys.exit(fixed.main(documents(), sys.argv[1:]))
