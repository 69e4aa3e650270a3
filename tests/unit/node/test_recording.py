"""A slot whose holder may be alive is waited for, for a while."""

from pathlib import Path

import pytest

from node import recording
from node.journal.journal import Journal
from node.recording import when_free
from security.errors import Code, SimpulError


async def test_a_slot_is_taken_when_its_lease_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RETRY_S", 0.01)
    attempts: list[int] = []

    async def take() -> Journal:
        attempts.append(1)
        if len(attempts) < 4:
            raise SimpulError(Code.JOURNAL_LOCKED, "held")
        return await Journal.open(tmp_path / "journal.db", slot=0, holder="x", clock=lambda: 1)

    journal = await when_free(take, 10.0)
    assert len(attempts) == 4
    await journal.close()


@pytest.mark.parametrize(
    ("code", "wait_s", "most"), [("JOURNAL_LOCKED", 0.0, 1), ("JOURNAL_LOCKED", 0.05, 20),
                                 ("JOURNAL_CORRUPT", 10.0, 1)]
)  # fmt: skip
async def test_not_for_ever_and_not_for_anything_else(
    monkeypatch: pytest.MonkeyPatch, code: str, wait_s: float, most: int
) -> None:
    monkeypatch.setattr(recording, "RETRY_S", 0.01)
    attempts: list[int] = []

    async def take() -> Journal:
        attempts.append(1)
        raise SimpulError(Code(code), "no")

    with pytest.raises(SimpulError) as caught:
        await when_free(take, wait_s)
    assert caught.value.code == code
    assert (len(attempts) > 1) is (wait_s == 0.05)
    assert len(attempts) <= most
