"""Builds the vectors of evidence files: what each proves, or the step at which it fails.

    python -m tests.conformance.build_evidence_vectors [--check]

Everything follows from fixed keys, names and times. Time stamps aren't among them: an authority's
answer can't be built again.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from security.evidence import Evidence, print_evidence, verify
from tests.conformance.fixed import main
from tests.support.agreements import CONSUMER_IDENTITY
from tests.support.delegations import DELEGATOR, delegated
from tests.support.evidence import (
    CALL_ID,
    DECIDE_CALL_ID,
    MINISTRY,
    OFFER_CALL_ID,
    REGENCY,
    Call,
    Parcel,
    Scene,
    Side,
    signed_agreement,
    unary,
    watch,
)
from tests.support.evidence_judge import export, flipped, streamed
from tests.support.evidence_making import accepted, acting, decide, offer


def documents() -> Mapping[str, Mapping[str, Any]]:
    """The vector file."""
    scene = Scene()
    good = unary(scene)
    root = scene.registry.roots[0]
    return {
        "evidence": {
            "root": root.hex(),
            "vectors": [
                *(_vector(name, item, root) for name, item in _good(good).items()),
                *(_vector(name, item, root) for name, item in _bad(good).items()),
            ],
        }
    }


def _good(unary_call: Evidence) -> dict[str, Evidence]:
    streaming, unfinished, refused = Scene(), Scene(), Scene()
    call = Call()
    asked = refused.link.send(MINISTRY, call.open())
    answer = refused.link.send(REGENCY, call.refuse(), ack=asked)
    return {
        "unary": unary_call,
        "streaming, without contents": export(streaming, streamed(streaming), contents=False),
        "unfinished": _bare(unfinished, [unfinished.link.send(MINISTRY, Call().open())]),
        "refused": _bare(refused, [asked, answer]),
        "requested, approved later": _made(MINISTRY, REGENCY),
        "offered, accepted later": _made(REGENCY, MINISTRY),
        "offered, accepted at once": _agreed_at_once(),
        "requested, no approval shown": _made(MINISTRY),
        "on behalf of a member": acting(delegated(), DELEGATOR),
    }


def _bad(unary_call: Evidence) -> dict[str, Evidence]:
    """The first step that each fails at stands in its vector."""
    first = unary_call.parcels[0]
    signed = signed_agreement()
    forged = replace(first, seal=flipped(first.seal, 10))
    return {
        "a forged seal": replace(unary_call, parcels=(forged, *unary_call.parcels[1:])),
        "an agreement with one signature": replace(
            unary_call, agreement=replace(signed, consumer_signature=b"")
        ),
        "under the quorum": _under_quorum(),
        "approved by the party that requested": _made(MINISTRY, MINISTRY),
        "a delegation signed by the delegate": acting(delegated(key=CONSUMER_IDENTITY), DELEGATOR),
    }


def _made(proposer: Side, decider: Side | None = None) -> Evidence:
    """An unfinished call, with the calls in which its agreement was proposed and accepted."""
    scene = Scene()
    decisions = [] if decider is None else decide(scene, decider)
    return _bare(
        scene,
        [scene.link.send(MINISTRY, Call().open()), *offer(scene, proposer), *decisions],
        offer_call_id=OFFER_CALL_ID,
        decide_call_id=DECIDE_CALL_ID if decisions else None,
    )


def _agreed_at_once() -> Evidence:
    scene = Scene()
    offered = offer(scene, REGENCY, answer=accepted())
    asked = scene.link.send(MINISTRY, Call().open())
    return _bare(scene, [asked, *offered], offer_call_id=OFFER_CALL_ID)


def _bare(
    scene: Scene,
    parcels: list[Parcel],
    *,
    offer_call_id: bytes | None = None,
    decide_call_id: bytes | None = None,
) -> Evidence:
    """By one directory, in no journal."""
    calls = (CALL_ID, OFFER_CALL_ID, DECIDE_CALL_ID)
    return replace(
        scene.evidence([item.shown(calls) for item in parcels]),
        offer_call_id=offer_call_id,
        decide_call_id=decide_call_id,
    )


def _under_quorum() -> Evidence:
    scene = Scene()
    call = Call()
    shown = [scene.link.send(MINISTRY, call.open()).shown((CALL_ID,))]
    placed, checkpoint = watch(shown, MINISTRY.node, names=("witness.example/1",))
    return scene.evidence(placed, (checkpoint,))


def _vector(name: str, evidence: Evidence, root: bytes) -> dict[str, Any]:
    data = print_evidence(evidence)
    report = verify(data, root)
    failed = report.failed
    return {
        "name": name,
        "file": data.hex(),
        "failed_step": None if failed is None else failed.number,
        "results": {str(step.number): step.result.value for step in report.steps},
        "call": None if report.call is None else _plain(asdict(report.call)),
        "parcels": [_plain(asdict(item)) for item in report.parcels] if failed is None else [],
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.hex()
        if isinstance(value, bytes)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in values.items()
    }


if __name__ == "__main__":
    sys.exit(main(documents(), sys.argv[1:]))
