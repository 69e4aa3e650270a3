"""What a worker goes by, and when no new call may begin."""

import pytest

from node.model import Current, Snapshot
from node.policy.apps import AppBook
from node.policy.rules import AgreementBook
from security.errors import Code, SimpulError
from tests.support import directories


def snapshot(refusal: SimpulError | None = None) -> Snapshot:
    return Snapshot(directories.directory(), AgreementBook([]), AppBook([]), {}, refusal)


def code_of(current: Current) -> Code:
    with pytest.raises(SimpulError) as caught:
        _ = current.snapshot
    return caught.value.code


def test_without_a_snapshot_no_call_begins() -> None:
    assert code_of(Current()) is Code.SUPERVISOR_LOST


def test_a_refusal_lets_no_call_begin_and_links_go_on() -> None:
    error = SimpulError(Code.JOURNAL_RESTORED_OR_FORKED, "put the newest journal back")
    current = Current(snapshot(error))
    assert code_of(current) is Code.JOURNAL_RESTORED_OR_FORKED
    assert current.directory is not None
    current.replace(snapshot())
    assert current.snapshot.refusal is None


def test_a_worker_that_lost_its_supervisor_says_that_first() -> None:
    current = Current(snapshot(SimpulError(Code.TIMESTAMP_OVERDUE, "mend it")))
    current.suspend()
    assert code_of(current) is Code.SUPERVISOR_LOST
