"""Erasures of one supervisor: told until acknowledged, heard, followed where that is configured."""

import asyncio
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.home import NodeHome
from node.journal.archive.dropping import Dropper
from node.journal.archive.erasing import erase_everywhere, find_dropped
from node.journal.archive.places import FolderPlace
from node.journal.archive.run import archive_due
from node.journal.kept.model import NOTHING_KEPT, Erased, ErasureOrder, Reason, Settled, Telling
from node.journal.kept.sql_store import SqlKeptStore
from node.journal.model import CallRow
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.operations.erasure import FIRST_RETRY_MS, MAX_RETRY_MS, Erasures
from node.secret_ring import SecretRing
from security.erasure import (
    ErasureNotice,
    make_answer,
    make_notice,
    parse_answer,
    parse_notice,
)
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.secret_key import SecretKey
from tests.unit.node.journal.archive.support import DAY_MS, Written, run_of
from tests.unit.node.journal.builder import (
    CONSUMER,
    NOW_MS,
    PEER,
    PEER_MEMBER,
    PROVIDER,
    Link,
    call_id,
)
from tests.unit.node.journal.kept.support import keep, kept_call

WAIT_S = 5.0


@dataclass
class Peers:
    """The other nodes: they answer, or refuse while `error` stands."""

    told: list[tuple[Telling, bytes]] = field(default_factory=list)
    error: SimpulError | None = None
    nothing_kept: bool = False

    async def tell(self, telling: Telling, notice: bytes) -> bytes:
        self.told.append((telling, notice))
        if self.error is not None:
            raise self.error
        return make_answer(nothing_kept=self.nothing_kept)


@dataclass
class Place:
    """A home with a journal of three calls whose contents are kept."""

    store: SqlKeptStore
    ring: SecretRing
    journal: Path
    peers: Peers = field(default_factory=Peers)
    at_ms: int = NOW_MS + 1000

    def erasures(self, *, on_notice: bool = False) -> Erasures:
        return Erasures(
            self.store, self.erase, self.find, self.ring, self.peers.tell, lambda: self.at_ms,
            os.urandom, on_notice=on_notice,
        )  # fmt: skip

    def find(self, call_id: bytes) -> CallRow | None:
        return find_dropped(self.journal, lambda where: FolderPlace(Path(where)), call_id)

    def erase(self, order: ErasureOrder, at_ms: int) -> Erased:
        return erase_everywhere(
            self.store, self.journal, lambda where: FolderPlace(Path(where)), order, now_ms=at_ms
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home = NodeHome.create(tmp_path / "n")
    ring = SecretRing(home)
    ring.ensure(lambda: SecretKey(os.urandom(32)))
    link = Link()
    keep(home.journal, *(kept_call(link, number) for number in (1, 2, 3)), keys=ring.kept_keys)
    return Place(SqlKeptStore.open(home.journal), ring, home.journal)


async def running(erasures: Erasures, until: Callable[[], bool]) -> None:
    """Runs until something holds."""
    task = asyncio.create_task(erasures.run())
    async with asyncio.timeout(WAIT_S):
        while not until():
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def notice(number: int, reason: str = "consent-withdrawn") -> bytes:
    return make_notice(ErasureNotice(call_id(number), NOW_MS, reason))


async def test_the_other_side_is_told_of_each_erasure(place: Place) -> None:
    erasures = place.erasures()
    one, two = await erasures.erase([call_id(1), call_id(2)], "siti", Reason.UNLAWFUL)
    assert isinstance(one, Erased)
    assert isinstance(two, Erased)
    await running(erasures, lambda: not place.store.due(place.at_ms, limit=9))
    (first, notice), _ = place.peers.told
    assert (first.peer, first.sender, first.receiver) == (PEER, CONSUMER, PROVIDER)
    said = parse_notice(notice)
    assert said == ErasureNotice(call_id(1), place.at_ms, "unlawful")


async def test_what_fails_stops_nothing_and_is_told_again_later(place: Place) -> None:
    place.peers.error = SimpulError(Code.PEER_UNREACHABLE, "no answer")
    unknown, done = await place.erasures().erase([call_id(9), call_id(1)], "siti", Reason.OTHER)
    assert isinstance(unknown, SimpulError)
    assert unknown.code is Code.NOT_FOUND
    assert isinstance(done, Erased)
    waits = []
    for _ in range(14):
        tried = len(place.peers.told)
        # Each time as after a restart: nothing is remembered but by the journal.
        await running(place.erasures(), lambda: not place.store.due(place.at_ms, limit=9))
        assert len(place.peers.told) == tried + 1
        ((telling,),) = (item.tellings for item in place.store.erasures(limit=9))
        assert telling.code == "PEER_UNREACHABLE"
        waits.append(telling.next_at_ms - place.at_ms)
        place.at_ms = telling.next_at_ms
    assert waits[:3] == [FIRST_RETRY_MS, 2 * FIRST_RETRY_MS, 4 * FIRST_RETRY_MS]
    assert waits[-1] == MAX_RETRY_MS
    place.peers.error = None
    await running(place.erasures(), lambda: not place.store.due(place.at_ms, limit=9))
    ((telling,),) = (item.tellings for item in place.store.erasures(limit=9))
    assert (telling.told_at_ms, telling.code) == (place.at_ms, "")


@pytest.mark.parametrize("by", ["", "x" * 65, "a\nb"])
async def test_who_erases_must_be_said(place: Place, by: str) -> None:
    with pytest.raises(SimpulError) as caught:
        await place.erasures().erase([call_id(1)], by, Reason.OTHER)
    assert caught.value.code is Code.REQUEST_MALFORMED


async def test_a_notice_is_shown_and_nothing_is_erased(place: Place) -> None:
    erasures = place.erasures()
    await erasures.hear(notice(1), PEER_MEMBER)
    (heard,) = place.store.notices(only_open=True, limit=9)
    assert (heard.call_id, heard.member, heard.reason) == (
        call_id(1), PEER_MEMBER, "consent-withdrawn",
    )  # fmt: skip
    assert place.store.erasures(limit=9) == []
    assert await erasures.decline(call_id(1)) == 1
    (heard,) = place.store.notices(only_open=False, limit=9)
    assert heard.settled is Settled.DECLINED


@pytest.mark.parametrize(
    ("reason", "recorded"), [("court-order", "court-order"), ("of-a-later-version", "other")]
)
async def test_a_notice_is_followed_where_that_is_configured(
    place: Place, reason: str, recorded: str
) -> None:
    await place.erasures(on_notice=True).hear(notice(1, reason), PEER_MEMBER)
    (erasure,) = place.store.erasures(limit=9)
    assert (erasure.call_id, erasure.by, erasure.reason) == (call_id(1), PEER_MEMBER, recorded)
    (heard,) = place.store.notices(only_open=False, limit=9)
    assert heard.settled is Settled.ERASED


async def test_who_is_no_party_erases_nothing(place: Place) -> None:
    for member in ("ID/DAERAH/99.99", "ID/DAERAH/53.1"):
        assert not await place.erasures(on_notice=True).hear(notice(1), member)
    assert place.store.erasures(limit=9) == []
    assert place.store.notices(only_open=False, limit=9) == []


async def test_where_nothing_is_kept_that_is_recorded_and_told_no_more(place: Place) -> None:
    place.peers.nothing_kept = True
    await place.erasures().erase([call_id(1)], "siti", Reason.OTHER)
    await running(place.erasures(), lambda: not place.store.due(place.at_ms, limit=9))
    ((telling,),) = (item.tellings for item in place.store.erasures(limit=9))
    assert (telling.told_at_ms, telling.code) == (place.at_ms, NOTHING_KEPT)
    place.at_ms += 10 * MAX_RETRY_MS
    assert place.store.due(place.at_ms, limit=9) == []


def drop(place: Place, archives: Path, *, salts: bool) -> None:
    """Have all cosigned, archived and dropped, as retention does."""
    written = Written(place.journal)
    (head,) = SqlCheckpointStore.open(place.journal).heads()
    written.head = head.tree
    written.sign(NOW_MS)
    with run_of(place.journal, archives, archives.with_name("staging")) as run:
        archive_due(run, NOW_MS + DAY_MS)
        (slot,) = run.store.slots()
    with closing(Dropper(place.journal)) as dropper:
        while dropper.drop_some(0, slot.size, NOW_MS + DAY_MS, salts=salts) > 0:
            pass


async def test_a_node_that_dropped_a_call_and_its_salts_keeps_nothing(
    place: Place, tmp_path: Path
) -> None:
    drop(place, tmp_path / "archives", salts=True)
    # No archive is read: it's not there any more.
    (tmp_path / "archives").rename(tmp_path / "elsewhere")
    data = notice(1)
    answer = await place.erasures(on_notice=True).answer(data, MemberId.parse(PEER_MEMBER))
    assert parse_answer(answer)
    assert place.store.notices(only_open=False, limit=9) == []


async def test_a_node_that_dropped_a_call_and_has_its_salts_takes_the_notice(
    place: Place, tmp_path: Path
) -> None:
    drop(place, tmp_path / "archives", salts=False)
    assert await place.erasures().hear(notice(1), PEER_MEMBER)
    (heard,) = place.store.notices(only_open=True, limit=9)
    assert heard.call_id == call_id(1)
    # Who is no party to it is answered as where there is nothing; so is a call that never was.
    assert not await place.erasures().hear(notice(2), "ID/DAERAH/99.99")
    assert not await place.erasures().hear(notice(9), PEER_MEMBER)
    # It's followed where that is configured, by the archives' word.
    await place.erasures(on_notice=True).hear(notice(3), PEER_MEMBER)
    (erasure,) = place.store.erasures(limit=9)
    assert (erasure.call_id, erasure.by) == (call_id(3), PEER_MEMBER)


async def test_while_archives_can_not_be_read_the_notice_comes_again(
    place: Place, tmp_path: Path
) -> None:
    drop(place, tmp_path / "archives", salts=False)
    (tmp_path / "archives").rename(tmp_path / "elsewhere")
    with pytest.raises(SimpulError) as caught:
        await place.erasures().hear(notice(1), PEER_MEMBER)
    assert caught.value.code is Code.NOT_FOUND
    (tmp_path / "elsewhere").rename(tmp_path / "archives")
    assert await place.erasures().hear(notice(1), PEER_MEMBER)


async def test_the_wrapping_key_is_replaced_and_the_old_one_destroyed(place: Place) -> None:
    erasures = place.erasures()
    (old,) = place.ring.kept_keys().wrapping
    key_id, done, left, destroyed = await erasures.rewrap(new_key=True)
    assert (done, left, destroyed) == (6, 0, 0)
    assert key_id != old.id
    assert await erasures.rewrap(new_key=False) == (key_id, 0, 0, 1)
    (new,) = place.ring.kept_keys().wrapping
    assert new.id == key_id
    assert await erasures.rewrap(new_key=False) == (key_id, 0, 0, 0)
