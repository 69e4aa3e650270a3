"""How evidence is shown: the numbered list, who said what and when, and what a file holds."""

from collections import Counter
from typing import TYPE_CHECKING

from cli.output import listed, print_hint, print_json, print_pairs, print_table, when
from security.evidence_report import CallFacts, ParcelFacts, Report, Step

if TYPE_CHECKING:
    from security.evidence_format import Evidence, ShownParcel


def print_report(report: Report) -> None:
    """The steps by number, then the call, then its parcels."""
    print_table(
        ("STEP", "NAME", "RESULT", "WHAT"),
        (
            (str(step.number), step.name, step.result.value, "; ".join(step.findings) or "-")
            for step in report.steps
        ),
        empty="",
    )
    if report.call is not None:
        _print_call(report.call)
    if report.parcels:
        print_table(
            ("PARCEL", "SEALED BY", "ENTRIES", "CLAIMED", "NOT BEFORE", "NOT AFTER", "RECEIVED"),
            (
                (
                    item.header_hash.hex()[:16],
                    item.member,
                    _kinds(item),
                    when(item.claimed_ms),
                    when(item.not_before_ms),
                    when(item.not_after_ms),
                    _received(item),
                )
                for item in report.parcels
            ),
            empty="",
        )
    for warning in report.warnings:
        print_hint(f"warning: {warning}")


def report_json(report: Report) -> dict[str, object]:
    """The report for programs."""
    failed = report.failed
    return {
        "sound": failed is None,
        "failed_step": None if failed is None else failed.number,
        "steps": [_step(step) for step in report.steps],
        "call": None if report.call is None else _call(report.call),
        "parcels": [_parcel(item) for item in report.parcels],
        "warnings": list(report.warnings),
    }


def print_contents(evidence: "Evidence", *, as_json: bool) -> None:
    """What is in a file, unverified."""
    rows = [_contents(item) for item in evidence.parcels]
    head = {
        "federation": evidence.federation,
        "call_id": evidence.call_id.hex(),
        "roots": len(evidence.roots),
        "directories": [item.snapshot.hex() for item in evidence.directories],
        "checkpoints": len(evidence.checkpoints),
        "time_stamps": sum(len(item.stamps) for item in evidence.checkpoints),
        "headers_between": len(evidence.chain),
        "agreement": evidence.agreement is not None,
        "offer_call_id": _hex(evidence.offer_call_id),
        "decide_call_id": _hex(evidence.decide_call_id),
    }
    if as_json:
        print_json({**head, "parcels": rows})
        return
    print_pairs((name, _text(value)) for name, value in head.items())
    print_table(
        ("PARCEL", "MEMBER", "TO", "NUMBER", "SEALED_AT", "ENTRIES", "JOURNALS"),
        (
            (
                str(row["header_hash"])[:16],
                str(row["member"]),
                str(row["to_node"]),
                str(row["number"]),
                when(int(str(row["sealed_at_ms"]))),
                _text(row["entries"]),
                str(row["leaves"]),
            )
            for row in rows
        ),
        empty="No parcels",
    )
    print_hint("Nothing of this is verified: simpul evidence verify FILE --root root.json")


def _print_call(call: CallFacts) -> None:
    print_pairs((name, _text(value)) for name, value in _call(call).items())


def _kinds(item: ParcelFacts) -> str:
    """`open, 244 message`; of the calls that made the agreement likewise."""
    counted = Counter(item.entries)
    said = [kind if count == 1 else f"{count} {kind}" for kind, count in counted.items()]
    said += [f"{kind} (offer)" for kind in item.offers]
    said += [f"{kind} (decision)" for kind in item.decisions]
    return listed(said) if said else "receipt"


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def _received(item: ParcelFacts) -> str:
    if not item.entries:
        return "-"
    return "yes" if item.received else "not proven"


def _step(step: Step) -> dict[str, object]:
    return {
        "number": step.number,
        "name": step.name,
        "proves": step.proves,
        "result": step.result.value,
        "findings": list(step.findings),
    }


def _call(call: CallFacts) -> dict[str, object]:
    return {
        "call_id": call.call_id.hex(),
        "consumer": call.consumer,
        "provider": call.provider,
        "service": call.service,
        "method": call.method,
        "agreement": None if call.agreement is None else call.agreement.hex(),
        "purpose": call.purpose,
        "on_behalf_of": call.on_behalf_of,
        "consent": call.consent,
        "outcome": call.outcome,
        "status": call.status,
        "code": call.code,
        "requests": call.requests,
        "responses": call.responses,
    }


def _parcel(item: ParcelFacts) -> dict[str, object]:
    return {
        "header_hash": item.header_hash.hex(),
        "member": item.member,
        "node": item.node,
        "to_node": item.to_node,
        "number": item.number,
        "seal_key_id": item.seal_key_id.hex(),
        "identity_key_id": item.identity_key_id.hex(),
        "entries": list(item.entries),
        "offers": list(item.offers),
        "decisions": list(item.decisions),
        "claimed_ms": item.claimed_ms,
        "not_before_ms": item.not_before_ms,
        "not_after_ms": item.not_after_ms,
        "stamped_ms": item.stamped_ms,
        "journals": list(item.journals),
        "received": item.received,
    }


def _contents(item: "ShownParcel") -> dict[str, object]:
    from security.entry_format import parse_entry
    from security.parcel import parse_header

    header = parse_header(item.header)
    return {
        "header_hash": item.hash.hex(),
        "member": str(header.member),
        "to_node": str(header.node),
        "number": header.number,
        "sealed_at_ms": header.sealed_at_ms,
        "directory": header.directory_hash.hex(),
        "entries": dict(Counter(parse_entry(one.entry).kind.kind.value for one in item.entries)),
        "leaves": len(item.leaves),
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return listed(map(str, value))
    if isinstance(value, dict):
        return listed(f"{count} {kind}" for kind, count in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
