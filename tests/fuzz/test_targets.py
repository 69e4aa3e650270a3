"""Every target for a moment, by hypothesis; `make fuzz` goes on for as long as one likes."""

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simpul.v1.parcel_pb2 import Header
from tests.fuzz import run
from tests.fuzz.targets import TARGETS, Target

targets = pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)


@targets
def test_every_seed_is_read(target: Target) -> None:
    assert target.seeds
    assert all(target.run(seed) for seed in target.seeds)


@targets
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(target: Target, data: bytes) -> None:
    target.run(data)


@targets
@given(draw=st.data())
def test_a_changed_seed_is_read_or_refused(target: Target, draw: st.DataObject) -> None:
    """A piece of what is good, replaced, left out, twice, or with a stranger in it."""
    good = draw.draw(st.sampled_from(target.seeds))
    begin = draw.draw(st.integers(0, len(good)))
    end = draw.draw(st.integers(begin, min(len(good), begin + 8)))
    middle = draw.draw(st.one_of(st.binary(max_size=8), st.just(good[begin:end] * 2)))
    target.run(good[:begin] + middle + good[end:])


def test_a_header_is_read_in_whatever_order_its_fields_stand() -> None:
    """Found by atheris, which took the target's word that only one order is read."""
    header = TARGETS["header"]
    for seed in header.seeds:
        rest, last = Header.FromString(seed), Header()
        last.credit = rest.credit
        rest.ClearField("credit")
        data = rest.SerializeToString() + last.SerializeToString()
        assert data != seed
        assert header.run(data)


def test_without_atheris_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("sys.argv", ["run", "--seconds", "1"])
    assert run.main() == 0
    assert "skipped" in capsys.readouterr().out
