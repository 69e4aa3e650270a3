"""Submissions: how a contract's revisions and terms are asked for, discussed and decided.

Each is tried at once, so that what can't be published is refused and not discussed; it is published
at once too, unless somebody must decide. Then both sides talk in its thread, and an operator's
approval runs it again, against what is there by then. Each function works within the transaction
that it is handed.
"""

from dataclasses import dataclass, replace

from sqlmodel import Session

from registry.contracts import rules as contract_rules
from registry.contracts.listed import listed_contracts
from registry.contracts.model import (
    Card,
    Event,
    KnownContract,
    Likeness,
    Submission,
    SubmissionState,
)
from registry.contracts.publishing import add_revision, descriptor_set_of
from registry.contracts.rules import DAY_MS
from registry.contracts.states import Act, follows
from registry.membership import Act as By
from registry.model import Node, Touched
from registry.registrar import Registrar
from registry.requests import Change, PublishContract, SetContract, check_comment, parse_change
from registry.rules import (
    check_active,
    check_lists_node,
    check_node_active,
    check_speaks_for,
    statement_in_force,
    step,
)
from registry.store import cards, members, nodes, submissions
from security.contract_card import Comment, ContractTermsView, package_of
from security.contract_comments import comments_of, without_comments
from security.contract_lint import advice
from security.contract_shape import package_shape
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, ServiceId

KINDS = frozenset({contract_rules.PUBLISH, contract_rules.SET, contract_rules.COMMENT})


@dataclass(frozen=True, slots=True)
class Sent:
    """A change about a contract, as a node sent it."""

    change: Change
    data: bytes
    signature: bytes
    node: Node


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it. `submission` with its thread."""

    submission: Submission
    touched: Touched

    @property
    def waits(self) -> bool:
        """Whether somebody must decide."""
        return self.submission.state in {SubmissionState.SUBMITTED, SubmissionState.IN_DISCUSSION}


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a submission asks for, judged against what is there, and not stored yet."""

    package: str
    member: MemberId
    # None: it is new.
    card: Card | None
    terms: ContractTermsView
    # The new revision's number; the newest one's, where none comes.
    revision: int
    # None: no new revision.
    descriptor_set: bytes | None = None
    comments: tuple[Comment, ...] = ()
    advice: tuple[str, ...] = ()
    likenesses: tuple[Likeness, ...] = ()
    why_not: str = ""


def submit(session: Session, registrar: Registrar, sent: Sent, now_ms: int) -> Done:
    """Takes a submission, and publishes it where nobody needs to decide.

    Raises:
        SimpulError: MEMBER_SUSPENDED, KEY_UNKNOWN, CONTRACT_*, CONFLICT, ALREADY_EXISTS,
            PROTOSET_*, with the number of its step.
    """
    plan = _judge(session, registrar, sent.change, sent.node, now_ms)
    with step(10):
        still_open, lately = submissions.counts(session, plan.member, now_ms - DAY_MS)
        contract_rules.check_room(plan.package, still_open=still_open, lately=lately)
    before = None if plan.card is None else plan.card.terms.maturity
    because = contract_rules.waits_because(
        sent.change.kind_name, plan.terms.maturity, before, plan.likenesses,
        registrar.decided_by_operators,
    )  # fmt: skip
    author = str(sent.node.id)
    new = Submission(
        id=0,
        package=plan.package,
        member=plan.member,
        node=sent.node.id,
        change_number=sent.change.number,
        kind=sent.change.kind_name,
        change=sent.data,
        signature=sent.signature,
        revision=plan.revision,
        state=SubmissionState.SUBMITTED,
        submitted_at_ms=now_ms,
        likenesses=plan.likenesses,
        advice=plan.advice,
        why_not=plan.why_not,
        waits_because=because,
        events=(
            Event(
                now_ms,
                author,
                by_registry=False,
                state=SubmissionState.SUBMITTED,
                text=plan.why_not,
            ),
        ),
    )
    made = submissions.get(session, submissions.add(session, new))
    if because:
        # What would be refused is refused now, and not when an operator looks at it.
        with session.begin_nested() as tried:
            _publish(session, plan, now_ms)
            tried.rollback()
        session.expire_all()
        return Done(made, Touched())
    approved = _step(session, made, Act.APPROVE, By("registry", now_ms, "nobody needs to decide"))
    return _carry_out(session, approved, plan, By("registry", now_ms))


def decide(
    session: Session, registrar: Registrar, submission_id: int, by: By, *, approve: bool
) -> Done:
    """An operator's word.

    Raises:
        SimpulError: NOT_FOUND; CONFLICT, when it is decided; CHANGE_INVALID without a reason to
            decline; of the step that refuses it by now: then it stays open.
    """
    found = submissions.get(session, submission_id)
    if not approve:
        if not by.reason.strip():
            raise SimpulError(
                Code.CHANGE_INVALID, "a submission is declined for a reason: give one"
            )
        return Done(_step(session, found, Act.DECLINE, by), Touched())
    approved = _step(session, found, Act.APPROVE, by)
    with step(4):
        node = nodes.get(session, found.node)
        check_node_active(node)
    plan = _judge(session, registrar, parse_change(found.change), node, by.now_ms)
    return _carry_out(session, approved, plan, by)


def comment(session: Session, submission_id: int, by: By) -> Submission:
    """A word of the registry's in a thread; raises NOT_FOUND, CONFLICT, REQUEST_MALFORMED."""
    check_comment(by.reason)
    return _step(session, submissions.get(session, submission_id), Act.COMMENT, by)


def comment_by_node(
    session: Session, node: Node, submission_id: int, text: str, now_ms: int
) -> Submission:
    """A word of the member's; raises NOT_FOUND, KEY_UNKNOWN, CONFLICT."""
    with step(8):
        found = submissions.get(session, submission_id)
    with step(9):
        _check_speaks(session, node, found.member, now_ms)
    with step(10):
        return _step(session, found, Act.COMMENT, By(str(node.id), now_ms, text), registry=False)


def withdraw(session: Session, node: NodeId, number: int, now_ms: int) -> Submission | None:
    """Takes a submission back, by the number of its change; None where there is none such."""
    found = submissions.find(session, node, number)
    if found is None:
        return None
    return _step(session, found, Act.WITHDRAW, By(str(node), now_ms), registry=False)


def of_node(
    session: Session, node: Node, submission_id: int, now_ms: int, *, decided: bool
) -> tuple[Submission, ...]:
    """The submissions of the members that a node speaks for; raises NOT_FOUND, KEY_UNKNOWN."""
    if submission_id:
        found = submissions.get(session, submission_id)
        _check_speaks(session, node, found.member, now_ms)
        return (found,)
    own = [
        member.id
        for member in members.every(session)
        if node.owner == member.id or _lists(session, node, member.id, now_ms)
    ]
    return submissions.every(session, decided=decided, members=own)


def set_by_registry(
    session: Session, package: str, owner: MemberId | None, terms: ContractTermsView | None
) -> tuple[Card, Touched]:
    """The registry's own decision on a card: another owner, other terms.

    Raises:
        SimpulError: CONTRACT_UNKNOWN; MEMBER_UNKNOWN, MEMBER_SUSPENDED of the new owner.
    """
    card = cards.get(session, package)
    if owner is not None:
        check_active(members.get(session, owner))
    cards.replace(session, card, owner or card.owner, card.terms if terms is None else terms)
    return cards.get(session, package), Touched(cards=frozenset({package}))


def _judge(
    session: Session, registrar: Registrar, change: Change, node: Node, now_ms: int
) -> _Judged:
    kind = change.kind
    if not isinstance(kind, PublishContract | SetContract):
        raise SimpulError(Code.INTERNAL, f"{change.kind_name} is no submission")
    with step(8):
        member = members.get(session, kind.member)
        check_active(member)
        card = cards.find(session, kind.package)
        if card is not None:
            contract_rules.check_owner(card, kind.member)
    with step(9):
        check_lists_node(statement_in_force(member), node.id, now_ms)
    with step(10):
        if isinstance(kind, SetContract):
            return _judge_terms(session, kind)
        return _judge_revision(session, registrar, kind, card)


def _judge_terms(session: Session, kind: SetContract) -> _Judged:
    card = cards.get(session, kind.package)
    if card.number != kind.card_number:
        raise SimpulError(
            Code.CONFLICT,
            f"the card of {card.package} is at {card.number} and no longer at {kind.card_number}: "
            "look at it again (simpul contract show), and set it anew",
            package=card.package,
        )
    if card.terms == kind.terms:
        raise _nothing(card.package)
    revision = len(cards.revisions(session, card.package))
    return _Judged(card.package, kind.member, card, kind.terms, revision)


def _judge_revision(
    session: Session, registrar: Registrar, kind: PublishContract, card: Card | None
) -> _Judged:
    contract_rules.check_content(kind.descriptor_set, kind.package)
    known = cards.revisions(session, kind.package)

    def content_of(number: int) -> bytes:
        return descriptor_set_of(session, known[number - 1])

    contract_rules.check_follows(kind.package, kind.follows, len(known), content_of)
    comments = comments_of(kind.descriptor_set, kind.package)
    bare = without_comments(kind.descriptor_set)
    terms = kind.terms or (ContractTermsView() if card is None else card.terms)
    plan = _Judged(
        package=kind.package,
        member=kind.member,
        card=card,
        terms=terms,
        revision=len(known) + 1,
        descriptor_set=bare,
        comments=comments,
        advice=advice(bare, kind.package, comments),
        why_not=kind.why_not,
    )
    if card is None:
        new = KnownContract(kind.package, 1, kind.member, bare, comments)
        likenesses = closest(session, registrar, new)
        contract_rules.check_close(kind.package, likenesses, kind.why_not)
        return replace(plan, likenesses=likenesses)
    newest = content_of(len(known))
    contract_rules.check_breaks_nothing(kind.package, newest, bare)
    if package_shape(newest, kind.package) == package_shape(bare, kind.package):
        if comments == known[-1].comments and terms == card.terms:
            raise _nothing(card.package)
        # The same contract in other words: they are the newest revision's from now on.
        return replace(plan, revision=len(known), descriptor_set=None)
    return plan


def check_is_new(
    session: Session, registrar: Registrar, service: ServiceId, descriptor_set: bytes
) -> None:
    """A contract that comes with its first service may be like no other: nobody is asked why.

    Raises:
        SimpulError: CONTRACT_SIMILAR; PROTOSET_INVALID, when it has too many comments.
    """
    package = package_of(service.service)
    if cards.find(session, package) is not None:
        return
    new = KnownContract(
        package,
        1,
        service.subsystem.member,
        without_comments(descriptor_set),
        comments_of(descriptor_set, package),
    )
    contract_rules.check_close(package, closest(session, registrar, new), "")


def closest(session: Session, registrar: Registrar, new: KnownContract) -> tuple[Likeness, ...]:
    """The contracts most like a new one, without those that it may be like."""
    known = contract_rules.compared_with(new, listed_contracts(session))
    return registrar.comparer.closest(new, known)


def _carry_out(session: Session, approved: Submission, plan: _Judged, by: By) -> Done:
    touched = _publish(session, plan, by.now_ms)
    quiet = replace(by, reason="")
    return Done(_step(session, approved, Act.PUBLISH, quiet), touched)


def _publish(session: Session, plan: _Judged, now_ms: int) -> Touched:
    touched = Touched(cards=frozenset({plan.package}))
    card = plan.card
    if card is None:
        card = Card(plan.package, 1, plan.member, plan.terms)
        cards.add(session, card)
    elif card.terms != plan.terms or plan.descriptor_set is None:
        cards.replace(session, card, card.owner, plan.terms)
        card = cards.get(session, plan.package)
    if plan.descriptor_set is not None:
        content = (plan.descriptor_set, plan.comments)
        _, revised = add_revision(session, card, plan.member, content, now_ms)
        return touched | revised
    if plan.comments:
        cards.set_comments(session, cards.revisions(session, plan.package)[-1], plan.comments)
    return touched


def _step(
    session: Session, before: Submission, act: Act, by: By, *, registry: bool = True
) -> Submission:
    after = follows(before.state, act)
    submissions.step(session, before, Event(by.now_ms, by.actor, registry, after, by.reason))
    return submissions.get(session, before.id)


def _check_speaks(session: Session, node: Node, member: MemberId, now_ms: int) -> None:
    found = members.get(session, member)
    check_speaks_for(node, member, statement_in_force(found), now_ms)


def _lists(session: Session, node: Node, member: MemberId, now_ms: int) -> bool:
    try:
        _check_speaks(session, node, member, now_ms)
    except SimpulError:
        return False
    return True


def _nothing(package: str) -> SimpulError:
    return SimpulError(
        Code.ALREADY_EXISTS, f"nothing of {package} would change: it is published like this already"
    )
