"""Subsystems have the life that members have, and a stopped one stops its services."""

import pytest

from registry import changes, systems
from registry.directory import content
from registry.life import Standing
from registry.membership import Act, show
from registry.model import Subsystem
from registry.registrar import Registrar
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId
from tests.unit.registry.conftest import (
    KOMODO,
    NOW,
    WAKATOBI,
    Actor,
    a_policy,
    publish_service,
    set_state,
)

TOURISM = SubsystemId.parse(f"{KOMODO}/pariwisata")
ACT = Act("test", NOW, "a test")
APPLICATION = Subsystem(TOURISM, "Pariwisata", Standing.APPLIED)


def view(registrar: Registrar) -> DirectoryView:
    everything = content.everything(registrar.store)
    files = content.read_committed(registrar.store, registrar.policy, everything)
    policy = a_policy(registrar.authority.certificate_der)
    return DirectoryView.build("ID", 1, b"h" * 32, NOW, {**files, "policy": policy})


def refused(code: Code, call: object) -> None:
    assert callable(call)
    with pytest.raises(SimpulError) as caught:
        call()
    assert caught.value.code is code


def publish(registrar: Registrar, actor: Actor) -> None:
    message = actor.change(publish_service=publish_service())
    changes.apply(registrar, *actor.sign_change(message), NOW)


def test_an_applicant_is_not_published(registrar: Registrar) -> None:
    systems.add(registrar, APPLICATION, ACT)
    refused(Code.SUBSYSTEM_UNKNOWN, lambda: view(registrar).subsystem(TOURISM))

    systems.set_state(registrar, TOURISM, Standing.IN_REVIEW, ACT)
    systems.set_state(registrar, TOURISM, Standing.ACTIVE, ACT)

    assert view(registrar).subsystem(TOURISM).name == "Pariwisata"
    subjects = [(event.subject, event.after) for event in show(registrar, KOMODO).history]
    assert subjects[-1] == (str(TOURISM), Standing.ACTIVE)


def test_a_suspended_subsystem_is_refused_by_nodes(registrar: Registrar, enrolled: Actor) -> None:
    publish(registrar, enrolled)
    view(registrar).check_subsystem(TOURISM)
    systems.set_state(registrar, TOURISM, Standing.SUSPENDED, ACT)

    refused(Code.SUBSYSTEM_SUSPENDED, lambda: view(registrar).check_subsystem(TOURISM))
    refused(Code.SUBSYSTEM_SUSPENDED, lambda: publish(registrar, enrolled))


def test_no_service_is_published_of_an_applicant(registrar: Registrar, enrolled: Actor) -> None:
    systems.add(registrar, APPLICATION, ACT)
    refused(Code.SUBSYSTEM_SUSPENDED, lambda: publish(registrar, enrolled))


def test_who_was_declined_may_apply_again(registrar: Registrar) -> None:
    systems.add(registrar, APPLICATION, ACT)
    refused(Code.ALREADY_EXISTS, lambda: systems.add(registrar, APPLICATION, ACT))
    for state in (Standing.IN_REVIEW, Standing.DECLINED):
        systems.set_state(registrar, TOURISM, state, ACT)

    assert systems.add(registrar, APPLICATION, ACT).state is Standing.APPLIED


def test_what_can_not_be_listed_is_refused(registrar: Registrar) -> None:
    unknown = SubsystemId.parse("ID/DAERAH/21.05/a")
    refused(Code.MEMBER_UNKNOWN, lambda: systems.add(registrar, Subsystem(unknown, "A"), ACT))
    removed = Subsystem(TOURISM, "P", Standing.REMOVED)
    refused(Code.CHANGE_INVALID, lambda: systems.add(registrar, removed, ACT))
    refused(Code.CHANGE_INVALID, lambda: systems.add(registrar, Subsystem(TOURISM, " "), ACT))
    set_state(registrar, Standing.SUSPENDED)
    refused(Code.MEMBER_SUSPENDED, lambda: systems.add(registrar, APPLICATION, ACT))
    refused(
        Code.SUBSYSTEM_UNKNOWN,
        lambda: systems.set_state(registrar, TOURISM, Standing.ACTIVE, ACT),
    )


def test_subsystems_are_listed(registrar: Registrar) -> None:
    systems.add(registrar, Subsystem(TOURISM, "Pariwisata"), ACT)
    assert systems.every(registrar, None) == (Subsystem(TOURISM, "Pariwisata"),)
    assert systems.every(registrar, WAKATOBI) == ()
    unknown = MemberId.parse("ID/DAERAH/21.05")
    refused(Code.MEMBER_UNKNOWN, lambda: systems.every(registrar, unknown))
