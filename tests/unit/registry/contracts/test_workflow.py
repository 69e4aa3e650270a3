"""Submissions about contracts: published, refused, discussed, decided; on both databases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from registry import changes
from registry.contracts import publishing, workflow
from registry.contracts.model import (
    Comparer,
    KnownContract,
    Likeness,
    ListedContract,
    Submission,
    SubmissionState,
)
from registry.directory import content
from registry.membership import Act
from registry.model import Node, Touched
from registry.registrar import Registrar
from registry.store import cards, nodes, services
from security.contract_card import (
    CardView,
    ContractTermsView,
    DocumentationView,
    Maturity,
    parse_card,
    parse_documentation,
    terms_message,
)
from security.errors import Code, SimpulError
from security.hashing import QUERY_SIGNATURE
from security.identifiers import MemberId, ServiceId
from simpul.v1 import registry_pb2
from tests.support.protos import ISLANDS, compiled
from tests.unit.registry.conftest import (
    DAY_MS,
    FEDERATION,
    KOMODO,
    NOW,
    WAKATOBI,
    Actor,
    publish_service,
)

PACKAGE = "wisata.v1"
WIDER = ISLANDS.replace("int64 area = 2;", "int64 area = 2;\n  string harbour = 3;")
BROKEN = ISLANDS.replace("int64 area = 2;", "string area = 2;")
ANNA = Act("anna", NOW + 5)


def published(
    text: str = ISLANDS, follows: int = 0, member: MemberId = KOMODO, **more: object
) -> registry_pb2.PublishContract:
    made = registry_pb2.PublishContract(
        package=PACKAGE, member=str(member), descriptor_set=compiled(text), follows=follows
    )
    for name, value in more.items():
        if name == "terms":
            assert isinstance(value, ContractTermsView)
            made.terms.CopyFrom(terms_message(value))
        else:
            setattr(made, name, value)
    return made


def ask(registrar: Registrar, actor: Actor, **kind: object) -> changes.Applied:
    return changes.apply(registrar, *actor.sign_change(actor.change(**kind)), NOW)


def publish(registrar: Registrar, actor: Actor, *args: object, **more: object) -> changes.Applied:
    return ask(registrar, actor, publish_contract=published(*args, **more))  # type: ignore[arg-type]


def refused(code: Code, registrar: Registrar, actor: Actor, **kind: object) -> SimpulError:
    with pytest.raises(SimpulError) as caught:
        ask(registrar, actor, **kind)
    assert caught.value.code is code, caught.value
    assert "\n" not in caught.value.message
    return caught.value


def submission(done: changes.Applied) -> Submission:
    assert done.submission is not None
    return done.submission


def files(registrar: Registrar, touched: Touched) -> dict[str, bytes]:
    with registrar.store.transaction() as session:
        return dict(content.read(session, registrar.policy, touched))


def card(registrar: Registrar) -> CardView:
    path = f"contracts/{PACKAGE}/card"
    found = files(registrar, Touched(cards=frozenset({PACKAGE})))
    return parse_card(FEDERATION, path, found[path])


def docs(registrar: Registrar, number: int) -> DocumentationView:
    path = f"contracts/{PACKAGE}/docs-{number}"
    found = files(registrar, Touched(cards=frozenset({PACKAGE})))
    return parse_documentation(FEDERATION, path, found[path])


@dataclass(frozen=True)
class AlwaysLike(Comparer):
    """Finds one contract much like any."""

    close: bool = True

    def closest(self, new: KnownContract, known: Sequence[ListedContract]) -> tuple[Likeness, ...]:
        assert new.package == PACKAGE
        assert new.package not in [item.package for item in known]
        return (
            Likeness("pariwisata.v1", 2, WAKATOBI, 0.93, self.close, ("Island.name",), (WAKATOBI,)),
        )


@pytest.fixture
def comparing(registrar: Registrar) -> Registrar:
    return replace(registrar, comparer=AlwaysLike())


def test_a_contract_is_published_at_once_with_its_comments(
    registrar: Registrar, enrolled: Actor
) -> None:
    terms = ContractTermsView(title="Islands", licence="CC-BY-4.0", maturity=Maturity.TRIAL)
    done = publish(registrar, enrolled, terms=terms)

    assert not done.waits
    assert [event.state for event in submission(done).events] == [
        SubmissionState.SUBMITTED,
        SubmissionState.APPROVED,
        SubmissionState.PUBLISHED,
    ]
    found = card(registrar)
    assert (found.owner, found.number, found.terms) == (KOMODO, 1, terms)
    assert set(found.newest.services) == {"wisata.v1.Wisata"}
    said = {item.element: item.leading for item in docs(registrar, 1).comments}
    assert said["wisata.v1.Island.area"] == "In square metres."
    (path,) = [path for path in files(registrar, done.touched) if path.count("Wisata")]
    assert b"square metres" not in files(registrar, done.touched)[path]


def test_a_service_goes_by_the_published_revision_however_it_was_compiled(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    publish(registrar, enrolled)
    bare = compiled(comments=False, name="another.proto")
    theirs = publish_service(f"{WAKATOBI}/pariwisata", protoset=bare)
    done = ask(registrar, neighbour, publish_service=theirs)

    assert done.touched == Touched(frozenset({WAKATOBI}))
    with registrar.store.transaction() as session:
        service = services.find(session, ServiceId.parse(f"{WAKATOBI}/pariwisata/wisata.v1.Wisata"))
    assert service is not None
    assert card(registrar).of_contract(service.contract) == card(registrar).revisions[0]


def test_a_service_brings_a_contract_that_nobody_published(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    ask(registrar, enrolled, publish_service=publish_service(protoset=compiled()))
    found = card(registrar)
    assert (found.owner, found.terms.maturity, found.newest.number) == (KOMODO, Maturity.DRAFT, 1)
    assert docs(registrar, 1).comments

    # Its owner's service may bring the next revision; another's may not, nor a breaking one.
    ask(registrar, enrolled, publish_service=publish_service(protoset=compiled(WIDER)))
    assert card(registrar).newest.number == 2
    other = ISLANDS.replace("string name = 1;", "string name = 1;\n  bool wet = 9;")
    theirs = publish_service(f"{WAKATOBI}/pariwisata", protoset=compiled(other))
    assert (
        KOMODO.code
        in refused(Code.CONTRACT_DIFFERS, registrar, neighbour, publish_service=theirs).message
    )
    broken = publish_service(protoset=compiled(BROKEN))
    refused(Code.CONTRACT_BREAKING, registrar, enrolled, publish_service=broken)
    # An older revision may be gone by, too.
    old = publish_service(f"{WAKATOBI}/pariwisata", protoset=compiled())
    ask(registrar, neighbour, publish_service=old)


def test_a_revision_follows_and_a_breaking_one_does_not(
    registrar: Registrar, enrolled: Actor
) -> None:
    publish(registrar, enrolled)
    done = publish(registrar, enrolled, WIDER, 1)
    assert submission(done).revision == 2
    assert [item.number for item in card(registrar).revisions] == [1, 2]
    assert card(registrar).number == 2

    error = refused(
        Code.CONTRACT_BREAKING, registrar, enrolled, publish_contract=published(BROKEN, 2)
    )
    assert "wisata.proto: wisata.v1.Island.area: field 2 is of type string" in error.message
    assert "wisata.v2" in error.message
    assert error.details["step"] == "10"


def test_the_second_of_two_publishers_is_told_what_changed(
    registrar: Registrar, enrolled: Actor
) -> None:
    publish(registrar, enrolled)
    publish(registrar, enrolled, WIDER, 1)
    mine = ISLANDS.replace("// An island.", "message Beach {}\n// An island.")
    error = refused(Code.CONFLICT, registrar, enrolled, publish_contract=published(mine, 1))
    assert "revision 2 of wisata.v1 came after 1: wisata.v1.Island changed" in error.message
    refused(Code.CONFLICT, registrar, enrolled, publish_contract=published(mine, 0))
    refused(Code.CONFLICT, registrar, enrolled, publish_contract=published(mine, 7))
    assert card(registrar).newest.number == 2


def test_only_the_owner_publishes(registrar: Registrar, enrolled: Actor, neighbour: Actor) -> None:
    publish(registrar, enrolled)
    theirs = published(WIDER, 1, WAKATOBI)
    error = refused(Code.CONTRACT_OWNER, registrar, neighbour, publish_contract=theirs)
    assert error.details["owner"] == str(KOMODO)
    # Nor does a node for a member that doesn't list it.
    ours = published(WIDER, 1)
    refused(Code.KEY_UNKNOWN, registrar, neighbour, publish_contract=ours)


def test_other_words_make_no_other_revision(registrar: Registrar, enrolled: Actor) -> None:
    publish(registrar, enrolled)
    before = card(registrar)
    spoken = ISLANDS.replace("In square metres.", "In square metres, at low tide.")
    publish(registrar, enrolled, spoken, 1)

    after = card(registrar)
    assert after.newest.number == 1
    assert after.newest.services == before.newest.services
    assert after.number == before.number + 1
    assert "at low tide" in str(docs(registrar, 1).comments)
    refused(Code.ALREADY_EXISTS, registrar, enrolled, publish_contract=published(spoken, 1))


def test_terms_change_without_a_revision_and_by_the_card_that_was_seen(
    registrar: Registrar, enrolled: Actor
) -> None:
    publish(registrar, enrolled)
    retired = terms_message(ContractTermsView(maturity=Maturity.RETIRED, successor="wisata.v2"))
    other = registry_pb2.SetContract(
        package=PACKAGE, member=str(KOMODO), card_number=1, terms=retired
    )
    ask(registrar, enrolled, set_contract=other)
    assert card(registrar).terms.successor == "wisata.v2"
    refused(Code.CONFLICT, registrar, enrolled, set_contract=other)

    # Nobody begins any more.
    mine = publish_service(protoset=compiled())
    error = refused(Code.CONTRACT_RETIRED, registrar, enrolled, publish_service=mine)
    assert "take wisata.v2" in error.message


def test_what_is_much_like_another_says_why_and_waits(
    comparing: Registrar, enrolled: Actor
) -> None:
    error = refused(Code.CONTRACT_SIMILAR, comparing, enrolled, publish_contract=published())
    assert "pariwisata.v1 of ID/DAERAH/74.07 (93%: Island.name; 1 members" in error.message

    done = publish(comparing, enrolled, why_not="Ours has harbours.")
    made = submission(done)
    assert (done.waits, done.touched) == (True, Touched())
    assert made.waits_because == "it is much like pariwisata.v1"
    assert made.likenesses[0].users == (WAKATOBI,)
    with comparing.store.transaction() as session:
        assert cards.find(session, PACKAGE) is None


def test_both_sides_talk_and_an_operator_approves(comparing: Registrar, enrolled: Actor) -> None:
    made = submission(publish(comparing, enrolled, why_not="Ours has harbours."))
    with comparing.store.transaction() as session:
        said = workflow.comment(session, made.id, replace(ANNA, reason="Could you adopt it?"))
    assert said.state is SubmissionState.IN_DISCUSSION
    word = registry_pb2.CommentSubmission(submission=made.id, text="No: look at Get.")
    heard = submission(ask(comparing, enrolled, comment_submission=word))
    assert [(e.author, e.by_registry, e.text) for e in heard.events[1:]] == [
        ("anna", True, "Could you adopt it?"),
        (str(enrolled.node), False, "No: look at Get."),
    ]
    with comparing.store.transaction() as session:
        done = workflow.decide(session, comparing, made.id, ANNA, approve=True)
    assert done.submission.state is SubmissionState.PUBLISHED
    assert card(comparing).newest.number == 1
    with pytest.raises(SimpulError) as caught, comparing.store.transaction() as session:
        workflow.decide(session, comparing, made.id, ANNA, approve=True)
    assert caught.value.code is Code.CONFLICT


def test_an_operator_declines_for_a_reason_and_a_member_withdraws(
    comparing: Registrar, enrolled: Actor
) -> None:
    first = submission(publish(comparing, enrolled, why_not="Ours has harbours."))
    with pytest.raises(SimpulError) as caught, comparing.store.transaction() as session:
        workflow.decide(session, comparing, first.id, ANNA, approve=False)
    assert caught.value.code is Code.CHANGE_INVALID
    no = replace(ANNA, reason="Adopt pariwisata.v1.")
    with comparing.store.transaction() as session:
        declined = workflow.decide(session, comparing, first.id, no, approve=False)
    assert declined.submission.state is SubmissionState.DECLINED
    assert declined.submission.events[-1].text == "Adopt pariwisata.v1."

    second = submission(publish(comparing, enrolled, why_not="Ours has harbours."))
    back = registry_pb2.WithdrawChange(number=second.change_number)
    ask(comparing, enrolled, withdraw_change=back)
    refused(Code.CONFLICT, comparing, enrolled, comment_submission=registry_pb2.CommentSubmission(
        submission=second.id, text="And yet."
    ))  # fmt: skip


def test_an_approval_is_judged_by_what_is_there_by_then(
    registrar: Registrar, enrolled: Actor
) -> None:
    careful = replace(registrar, decided_by_operators=frozenset({"publish_contract"}))
    publish(registrar, enrolled)
    waits = submission(publish(careful, enrolled, WIDER, 1))
    publish(registrar, enrolled, ISLANDS.replace("// An island.", "message Beach {}"), 1)
    with pytest.raises(SimpulError) as caught, careful.store.transaction() as session:
        workflow.decide(session, careful, waits.id, ANNA, approve=True)
    assert caught.value.code is Code.CONFLICT
    with careful.store.transaction() as session:
        (still,) = workflow.of_node(session, _node(careful, enrolled), waits.id, NOW, decided=False)
    assert still.state is SubmissionState.SUBMITTED


def test_to_recommend_is_the_federations_word(registrar: Registrar, enrolled: Actor) -> None:
    terms = ContractTermsView(maturity=Maturity.RECOMMENDED)
    done = publish(registrar, enrolled, terms=terms)
    assert done.waits
    assert "recommend" in submission(done).waits_because


def test_the_registry_gives_a_contract_to_another_owner(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    publish(registrar, enrolled)
    with registrar.store.transaction() as session:
        given, touched = workflow.set_by_registry(session, PACKAGE, WAKATOBI, None)
    assert (given.owner, touched.cards) == (WAKATOBI, frozenset({PACKAGE}))
    assert card(registrar).owner == WAKATOBI
    refused(Code.CONTRACT_OWNER, registrar, enrolled, publish_contract=published(WIDER, 1))
    publish(registrar, neighbour, WIDER, 1, WAKATOBI)
    assert card(registrar).newest.publisher == WAKATOBI
    for package, owner, code in (
        ("lain.v1", WAKATOBI, Code.CONTRACT_UNKNOWN),
        (PACKAGE, MemberId.parse("ID/DAERAH/11.01"), Code.MEMBER_UNKNOWN),
    ):
        with pytest.raises(SimpulError) as caught, registrar.store.transaction() as session:
            workflow.set_by_registry(session, package, owner, None)
        assert caught.value.code is code


def test_a_node_sees_its_members_submissions_and_no_others(
    comparing: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    made = submission(publish(comparing, enrolled, why_not="Ours has harbours."))

    def seen(actor: Actor, submission_id: int = 0, made_at_ms: int = NOW) -> tuple[int, ...]:
        query = registry_pb2.SubmissionQuery(
            version=1, federation=FEDERATION, node=str(actor.node), made_at_ms=made_at_ms,
            submission=submission_id,
        ).SerializeToString(deterministic=True)  # fmt: skip
        signature = actor.node_key.sign(QUERY_SIGNATURE, query)
        found = changes.list_submissions(comparing, query, signature, NOW)
        return tuple(item.id for item in found)

    assert seen(enrolled) == (made.id,)
    assert seen(neighbour) == ()
    cases: tuple[tuple[Callable[[], object], Code], ...] = (
        (lambda: seen(neighbour, made.id), Code.KEY_UNKNOWN),
        (lambda: seen(enrolled, made.id + 1), Code.NOT_FOUND),
        (lambda: seen(enrolled, made_at_ms=NOW - DAY_MS), Code.CHANGE_INVALID),
        (lambda: seen(replace(enrolled, node_key=neighbour.node_key)), Code.SIGNATURE_INVALID),
    )
    for call, code in cases:
        with pytest.raises(SimpulError) as caught:
            call()
        assert caught.value.code is code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"descriptor_set": b"\xff"}, Code.PROTOSET_INVALID),
        ({"package": "lain.v1"}, Code.PROTOSET_LACKS_SERVICE),
        ({"package": "9.v1"}, Code.ID_MALFORMED),
        ({"why_not": "\x00"}, Code.REQUEST_MALFORMED),
        ({"descriptor_set": b""}, Code.PROTOSET_INVALID),
    ],
)
def test_bad_submissions_are_refused(
    registrar: Registrar, enrolled: Actor, change: dict[str, object], code: Code
) -> None:
    refused(code, registrar, enrolled, publish_contract=published(**change))  # type: ignore[arg-type]


def test_sets_that_lack_something_or_go_in_circles_are_refused(
    registrar: Registrar, enrolled: Actor
) -> None:
    whole = FileDescriptorSet.FromString(compiled())
    lacks, circle, reserved = FileDescriptorSet(), FileDescriptorSet(), FileDescriptorSet()
    for made in (lacks, circle, reserved):
        made.CopyFrom(whole)
    lacks.file[0].dependency.append("nowhere.proto")
    circle.file.add(name="other.proto", package=PACKAGE, dependency=["wisata.proto"])
    circle.file[0].dependency.append("other.proto")
    reserved.file[0].message_type[1].reserved_name.append("area")
    number = FileDescriptorSet.FromString(compiled())
    number.file[0].message_type[1].reserved_range.add(start=2, end=3)
    for made, says in (
        (lacks, "nowhere.proto"),
        (circle, "circle"),
        (reserved, "'Island' has 'area'"),
        (number, "'Island' has 'area'"),
    ):
        message = published(descriptor_set=made.SerializeToString())
        error = refused(Code.PROTOSET_INVALID, registrar, enrolled, publish_contract=message)
        assert says in error.message
        assert error.details["step"] == "10"


def test_ten_thousand_fields_are_published_where_protobuf_takes_them(
    registrar: Registrar, enrolled: Actor
) -> None:
    many = "".join(f"  int32 f{number} = {number};\n" for number in range(3, 10_003))
    text = ISLANDS.replace("int64 area = 2;", f"int64 area = 2;\n{many}")
    done = publish(registrar, enrolled, text)
    assert card(registrar).newest.number == 1
    # The advice is counted, not poured out.
    assert len(submission(done).advice) <= 101
    # protobuf's own library makes no message of over 64 KB, 16 bytes for each text.
    texts = published(text.replace("int32", "string"), 1)
    error = refused(Code.PROTOSET_INVALID, registrar, enrolled, publish_contract=texts)
    assert "exceeded maximum size" in error.message


def _node(registrar: Registrar, actor: Actor) -> Node:
    with registrar.store.transaction() as session:
        return nodes.get(session, actor.node)


def test_a_set_is_not_kept_for_services_without_end(
    registrar: Registrar, enrolled: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_KEPT_BYTES", 100)
    with pytest.raises(SimpulError) as caught:
        publish(registrar, enrolled)
    assert caught.value.code is Code.PROTOSET_INVALID
    assert "split the package" in caught.value.message
