"""What an operator is told of an agreement: consumers nobody lists, and methods that tell less."""

from dataclasses import replace

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from node.agreements.hints import hints, registered
from security.activity import ActivityView, activity_message
from security.agreement import ServiceTerm
from security.directory import DirectoryView
from security.directory_records import contract_path
from security.hashing import sha256
from security.identifiers import SubsystemId
from simpul.v1 import annotations_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.agreements import TERMS
from tests.unit.security.test_activity import FIRST, RETIRED, SECOND


def directory(*, personal: bool = True, matching: bool = True) -> DirectoryView:
    """Islands have keepers, who are persons; `List` may only say whether there is such a one."""
    files = FileDescriptorSet.FromString(directories.descriptor_set())
    (file,) = files.file
    file.message_type[0].field[1].options.Extensions[annotations_pb2.personal] = personal
    listing = next(method for method in file.service[0].method if method.name == "List")
    listing.options.Extensions[annotations_pb2.match_only] = matching
    definition = files.SerializeToString(deterministic=True)
    revision = directory_pb2.ContractRevision(
        version=1, federation=fixed.FEDERATION, service=fixed.SERVICE, descriptor_set=definition,
        publisher=str(fixed.REGENCY),
    ).SerializeToString(deterministic=True)  # fmt: skip
    record = directories.regency_record()
    record.services[0].contract = sha256(revision)
    targets = directories.targets(record, directories.ministry_record())
    return directories.build({**targets, contract_path(fixed.SERVICE, definition): revision})


GET = replace(TERMS, services=(ServiceTerm(fixed.SERVICE, ("Get",)),))
MATCH = replace(TERMS, services=(ServiceTerm(fixed.SERVICE, ("List",)),))


def test_a_method_that_only_matches_is_suggested() -> None:
    (hint,) = hints(GET, directory())
    assert "Get of wisata.v1.Wisata tells personal data" in hint
    assert "ask for List alone" in hint


@pytest.mark.parametrize(
    ("terms", "view"),
    [
        (MATCH, directory()),
        (TERMS, directory()),
        (GET, directory(personal=False)),
        (GET, directory(matching=False)),
    ],
    ids=["asked for it", "asked for both", "nothing personal", "no such method"],
)
def test_nothing_is_suggested(terms: object, view: DirectoryView) -> None:
    assert hints(terms, view) == ()  # type: ignore[arg-type]


def test_a_consumer_s_subsystem_that_nobody_lists() -> None:
    misspelt = SubsystemId.parse(f"{fixed.MINISTRY}/super-ap")
    terms = replace(MATCH, consumer_subsystems=(fixed.SUPER_APP, misspelt))
    (hint,) = hints(terms, directory())
    assert hint.startswith(f"{misspelt} is not in the directory")


def in_register(*versions: ActivityView) -> DirectoryView:
    record = directories.ministry_record()
    record.activities.extend(map(activity_message, versions))
    return directories.directory(directories.regency_record(), record)


def test_the_text_of_each_purpose_as_it_is_registered() -> None:
    assert registered(TERMS, directories.directory()) == ()
    ((purpose, says),) = registered(TERMS, in_register(FIRST, SECOND))
    assert purpose == "layanan-wisata"
    assert says == (
        "Tourist map. Show islands to visitors (version 2, PUBLIC_TASK; kept 7 days; visible to "
        "citizens; officer pdp@komdigi.example)"
    )
    assert hints(TERMS, in_register(FIRST, SECOND)) == ()
    ((_, says),) = registered(TERMS, in_register(FIRST, SECOND, RETIRED))
    assert says.startswith("retired: Tourist map.")
    other = in_register(replace(FIRST, id="statistik"))
    assert registered(TERMS, other) == (("layanan-wisata", "it is not in the consumer's register"),)
    (hint,) = hints(TERMS, other)
    assert hint.startswith("no call will be permitted")
