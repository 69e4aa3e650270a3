"""Evidence, steps 13 to 15: that the entries are one call, whose they are, and that they arrived.

    13 order       14 parties       15 receipts

What a half-close, cancel or close says of messages, sent and received, is compared with the
messages themselves: also the counts in between, which no receiver can judge while a call runs.

Source: docs/spec, "Evidence: steps", "Calls"; "Links: receipts".
"""

from collections.abc import Mapping

from security.call_state import Side, after_request, after_response, opened
from security.commitment import NO_MESSAGES, Tally
from security.entry import entry_digest
from security.evidence_case import Case, EntryCase, ParcelCase, share
from security.evidence_report import CallFacts, Outcome, not_proven, proven, refused
from security.identifiers import MemberId, NodeId
from security.kinds import Cancel, Close, EntryKind, HalfClose, Open, Refuse
from security.parcel import HeaderFields

Placed = tuple[ParcelCase, EntryCase]

_BY_CONSUMER = frozenset({EntryKind.OPEN, EntryKind.HALF_CLOSE, EntryKind.CANCEL})
_BY_PROVIDER = frozenset({EntryKind.HEAD, EntryKind.CLOSE, EntryKind.REFUSE})


def order(case: Case) -> Outcome:
    """13. The entries are one call in its order, and say of each other what is true."""
    first, kind = _open(case)
    for parcel in case.call_parcels:
        for item in parcel.entries:
            side = case.requests if _is_request(first, parcel, item) else case.responses
            side.append((parcel, item))
    for entries in (case.requests, case.responses):
        entries.sort(key=lambda placed: placed[1].parsed.index)
        for number, (_, item) in enumerate(entries):
            if item.parsed.index != number:
                raise refused(f"entry {number} of one side is missing, or is there twice")
    requests = _requests(case, kind)
    responses = _responses(case, entry_digest(first[1].shown.entry))
    for item in (placed[1] for placed in (*case.requests, *case.responses)):
        _check_tallies(item, requests, responses)
    case.opened = kind
    case.call = _facts(case, kind, len(requests) - 1, len(responses) - 1)
    findings = (
        f"{kind.consumer} called {kind.service}/{kind.method}",
        f"{case.call.outcome}"
        + ("" if case.call.status is None else f", gRPC status {case.call.status}")
        + (f" ({case.call.code})" if case.call.code else ""),
        f"{case.call.requests} messages asked, {case.call.responses} answered",
    )
    if case.call.outcome == "unfinished":
        return not_proven(*findings, "no close or refusal is shown: the call may have gone on")
    return proven(*findings)


def parties(case: Case) -> Outcome:
    """14. The entries of each side were sealed by the member whose subsystem is on it.

    A refusal may be another member's of the node that was asked: it says what the node does, and
    nothing in the name of the provider.
    """
    kind = _open(case)[1]
    strangers: set[MemberId] = set()
    for member, side, entries in (
        (kind.consumer.member, Side.CONSUMER, case.requests),
        (kind.service.subsystem.member, Side.PROVIDER, case.responses),
    ):
        for parcel, item in entries:
            if parcel.header.member == member:
                continue
            if isinstance(item.parsed.kind, Refuse):
                strangers.add(parcel.header.member)
            else:
                raise refused(f"{parcel.title} is not of the {side}, {member}")
    asked = case.requests[0][0]
    ends = (asked.sender, asked.header.node)
    _check_nodes(case.requests, ends)
    _check_nodes(case.responses, (ends[1], ends[0]))
    said = [f"{kind.consumer.member} asked, by its node {asked.sender}"]
    if strangers:
        return not_proven(
            *said,
            f"{kind.service.subsystem.member} said nothing: its node {asked.header.node} refused, "
            f"in the name of {', '.join(sorted(map(str, strangers)))}",
        )
    if case.responses:
        said.append(f"{kind.service.subsystem.member} answered, by its node {asked.header.node}")
        return proven(*said)
    return not_proven(*said, "nothing that the provider sealed is shown")


def receipts(case: Case) -> Outcome:
    """15. The other side's node sealed that it had each parcel, durably."""
    used: set[bytes] = set()
    by_hash = {parcel.hash: parcel for parcel in case.parcels}
    for parcel in case.parcels:
        acknowledged = _follow(case, by_hash, parcel, used)
        if acknowledged == 0 and not parcel.placed:
            raise refused(f"{parcel.title} acknowledges nothing in the file")
    if case.chain.keys() - used:
        raise refused("a header in the chain leads to no receipt")
    # An answer names the open by its digest, so its sealer had it.
    if any(isinstance(item.parsed.kind, Close | Refuse) for _, item in case.responses):
        case.requests[0][0].received = True
    found = [parcel for parcel in case.call_parcels if parcel.received]
    if len(found) == len(case.call_parcels):
        return proven(f"{len(found)} parcels, each acknowledged by the node it was for")
    missing = (
        f"{parcel.title}: not proven to have reached {parcel.header.node}"
        for parcel in case.call_parcels
        if not parcel.received
    )
    return not_proven(f"{share(case.call_parcels, found)} acknowledged", *missing)


def _open(case: Case) -> tuple[Placed, Open]:
    opens = [
        ((parcel, item), item.parsed.kind)
        for parcel in case.call_parcels
        for item in parcel.entries
        if isinstance(item.parsed.kind, Open)
    ]
    if len(opens) != 1:
        raise refused(f"it holds {len(opens)} opens of the call, not 1")
    return opens[0]


def _check_nodes(entries: list[Placed], ends: tuple[NodeId | None, NodeId | None]) -> None:
    for parcel, _ in entries:
        if (parcel.sender, parcel.header.node) != ends:
            raise refused(f"{parcel.title} went between other nodes than the call's")


def _is_request(first: Placed, parcel: ParcelCase, item: EntryCase) -> bool:
    kind = item.parsed.kind.kind
    if kind in _BY_CONSUMER:
        return True
    if kind in _BY_PROVIDER:
        return False
    opener = first[0]
    mine = (opener.header.member, opener.header.node, opener.sender)
    if opener.sender == opener.header.node and parcel.header.member == opener.header.member:
        raise refused("a member's streaming call to itself on one node can't be told apart")
    return (parcel.header.member, parcel.header.node, parcel.sender) == mine


def _requests(case: Case, kind: Open) -> list[Tally]:
    """The tallies after each message of the consumer; the states are those of the tables."""
    state, _ = opened(unary=kind.unary)
    tallies = [NO_MESSAGES]
    for number, (_, item) in enumerate(case.requests):
        if number > 0:
            state = after_request(state, item.parsed.kind.kind)
        _count(tallies, item)
        match item.parsed.kind:
            case HalfClose(requests=said) | Cancel(requests=said):
                _check_sent(said, tallies[-1])
    return tallies


def _responses(case: Case, open_digest: bytes) -> list[Tally]:
    _, state = opened(unary=True)
    tallies = [NO_MESSAGES]
    for _, item in case.responses:
        has_message = item.parsed.payload is not None
        state = after_response(state, item.parsed.kind.kind, with_message=has_message)
        _count(tallies, item)
        match item.parsed.kind:
            case Close(open_digest=named, responses=said):
                _check_sent(said, tallies[-1])
                _check_answers(named, open_digest)
            case Refuse(open_digest=named):
                _check_answers(named, open_digest)
    return tallies


def _count(tallies: list[Tally], item: EntryCase) -> None:
    if item.parsed.payload is not None:
        tallies.append(tallies[-1].add(item.parsed.payload.hash))


def _check_sent(said: Tally, counted: Tally) -> None:
    if said != counted:
        raise refused(f"an entry says that {said.count} messages were sent, and others are shown")


def _check_answers(named: bytes, open_digest: bytes) -> None:
    if named != open_digest:
        raise refused("an answer names another open than the one shown")


def _check_tallies(item: EntryCase, requests: list[Tally], responses: list[Tally]) -> None:
    match item.parsed.kind:
        case Close(requests=seen):
            tallies = requests
        case Cancel(responses=seen):
            tallies = responses
        case _:
            return
    if seen.count >= len(tallies) or tallies[seen.count] != seen:
        raise refused(f"an entry says that {seen.count} messages came, which aren't those shown")


def _facts(case: Case, kind: Open, requests: int, responses: int) -> CallFacts:
    outcome, status, code = "unfinished", None, None
    if any(isinstance(item.parsed.kind, Cancel) for _, item in case.requests):
        outcome = "cancelled"
    for _, item in case.responses:
        match item.parsed.kind:
            case Close(status=said):
                outcome, status = "closed", said
            case Refuse(status=said, code=why):
                outcome, status, code = "refused", said, why
    return CallFacts(
        call_id=case.evidence.call_id,
        consumer=str(kind.consumer),
        provider=str(kind.service.subsystem),
        service=kind.service.service,
        method=kind.method,
        agreement=kind.agreement,
        purpose=kind.purpose,
        on_behalf_of=None if kind.on_behalf_of is None else str(kind.on_behalf_of),
        consent=kind.consent,
        outcome=outcome,
        status=status,
        code=code,
        requests=requests,
        responses=responses,
    )


def _follow(
    case: Case, by_hash: Mapping[bytes, ParcelCase], by: ParcelCase, used: set[bytes]
) -> int:
    """Walk back from what a receipt names; the number of parcels in the file that it proves."""
    received = by.header.received
    if received is None:
        return 0
    hashed, number = received.header_hash, received.number
    acknowledged = 0
    while True:
        parcel = by_hash.get(hashed)
        header = case.chain.get(hashed) if parcel is None else parcel.header
        if header is None:
            return acknowledged
        _check_link(by, header, number)
        if parcel is not None:
            if parcel.sender != by.header.node:
                raise refused(f"{parcel.title} was sent by another node than it is acknowledged to")
            parcel.received = True
            acknowledged += 1
        if hashed in used:
            # From here on another receipt has led back already.
            return acknowledged
        used.add(hashed)
        if number == 0:
            return acknowledged
        hashed, number = header.previous, number - 1


def _check_link(by: ParcelCase, header: HeaderFields, number: int) -> None:
    if header.link_id != by.header.link_id or header.number != number:
        raise refused(f"{by.title} acknowledges a parcel that is another's, or of another number")
    if header.node != by.sender:
        raise refused(f"{by.title} acknowledges what went to another node")
