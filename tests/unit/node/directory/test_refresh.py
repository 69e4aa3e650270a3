"""One fetch for all who ask, at most so many a second, and nobody is told less than there is."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from node.directory.model import Generation
from node.directory.refresh import SharedRefresh
from security.errors import Code, SimpulError

OLD, NEW = (
    Generation(Path(str(version)), version, bytes([version]) * 32, 0, 1) for version in (1, 2)
)


@dataclass(slots=True)
class Registry:
    """Publishes `published`; each fetch takes `takes_s` and gives what was there at its start."""

    published: Generation = OLD
    takes_s: float = 0.01
    fault: SimpulError | None = None
    here: Generation | None = OLD
    began_s: list[float] = field(default_factory=list)

    async def fetch(self) -> Generation:
        self.began_s.append(asyncio.get_running_loop().time())
        found = self.published
        await asyncio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault
        self.here = found
        return found

    def shared(self, *, pause_s: float = 0.0) -> SharedRefresh:
        return SharedRefresh(lambda: self.here, self.fetch, pause_s=pause_s)


async def test_what_is_here_is_not_fetched() -> None:
    registry = Registry()
    await registry.shared().until(OLD.hash)
    assert not registry.began_s


async def test_all_who_ask_at_once_share_one_fetch() -> None:
    registry = Registry(published=NEW)
    shared = registry.shared()
    await asyncio.gather(*(shared.until(NEW.hash) for _ in range(50)))
    assert len(registry.began_s) == 1
    assert registry.here == NEW


async def test_who_comes_during_a_fetch_that_began_too_early_gets_the_next() -> None:
    registry = Registry(takes_s=0.05)
    shared = registry.shared()
    first = asyncio.create_task(shared.until(b"nobody has this"))
    await asyncio.sleep(0.02)
    registry.published = NEW
    await shared.until(NEW.hash)
    assert registry.here == NEW
    await first


async def test_a_liar_costs_two_fetches_and_they_are_a_pause_apart() -> None:
    registry = Registry()
    await registry.shared(pause_s=0.1).until(b"nobody has this")
    first_s, second_s = registry.began_s
    assert second_s - first_s >= 0.1


async def test_who_comes_within_the_pause_waits_for_the_fetch_after_it() -> None:
    registry = Registry()
    shared = registry.shared(pause_s=0.1)
    await shared.until(b"nobody has this")
    registry.published = NEW
    await shared.until(NEW.hash)
    assert registry.here == NEW


async def test_who_stops_waiting_stops_nobody_else() -> None:
    registry = Registry(published=NEW, takes_s=0.05)
    shared = registry.shared()
    impatient = asyncio.create_task(shared.until(NEW.hash))
    patient = asyncio.create_task(shared.until(NEW.hash))
    await asyncio.sleep(0.02)
    impatient.cancel()
    await patient
    assert registry.here == NEW
    assert len(registry.began_s) == 1


async def test_everybody_hears_why_a_fetch_failed_and_the_next_one_is_tried() -> None:
    registry = Registry(published=NEW, fault=SimpulError(Code.REGISTRY_UNREACHABLE, "down"))
    shared = registry.shared()
    told = await asyncio.gather(*(shared.until(NEW.hash) for _ in range(3)), return_exceptions=True)
    assert [error.code for error in told if isinstance(error, SimpulError)] == [
        Code.REGISTRY_UNREACHABLE
    ] * 3
    registry.fault = None
    await shared.until(NEW.hash)
    assert registry.here == NEW


async def test_a_node_without_a_directory_fetches() -> None:
    registry = Registry(published=NEW, here=None)
    await registry.shared().until(NEW.hash)
    assert registry.here == NEW


async def test_who_needs_any_newer_one_joins_the_fetch_under_way() -> None:
    registry = Registry(published=NEW, takes_s=0.02)
    shared = registry.shared()
    await asyncio.gather(shared.once(), shared.once(), shared.until(NEW.hash))
    assert len(registry.began_s) == 1
    await shared.once()
    assert len(registry.began_s) == 2
