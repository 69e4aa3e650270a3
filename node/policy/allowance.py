"""How often an agreement may be used: a token bucket, and a number for each day. Pure.

A ledger gives out calls in small leases, so that several workers share one count. It knows no
clock and no database: the time is an argument, and what must outlive a restart (the day's count)
is handed in and read back by whoever stores it. Rules:

1. A lease that was given counts, whether or not it is used: a count may be too high by what a
   worker held when it ended, and never too low.
2. Time that goes back gives nothing: neither tokens, nor a day that was over.
3. A day is one of Western Indonesia Time (UTC+7), as the hours of agreements are.
4. Of a member with several nodes each has its share of every limit, rounded down.

Source: docs/spec, "Agreements: rates".
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from security.agreement import RateTerm
from security.errors import Code, SimpulError

MS_PER_DAY: Final = 24 * 60 * 60 * 1000
DAY_OFFSET_MS: Final = 7 * 60 * 60 * 1000
# Thousandths of a call.
_CALL: Final = 1000


class Side(IntEnum):
    """Which side of an agreement a node is, in a call; numbers are those of control.proto."""

    PROVIDER = 1
    CONSUMER = 2


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a member's limits is this node's: `parts` of `whole`."""

    parts: int = 1
    whole: int = 1

    def of(self, limit: int) -> int:
        """This node's part of a limit."""
        return limit * self.parts // self.whole


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many calls were given out on a day; `day` counts days since the epoch, UTC+7."""

    day: int
    given: int


@dataclass(slots=True)
class _Account:
    count: DayCount
    # Thousandths of calls that may be begun now, and as of when.
    tokens: int
    filled_at_ms: int


@dataclass(slots=True)
class Ledger:
    """What has been given out, of all agreements with a limit. By any key of the caller's."""

    _accounts: dict[bytes, _Account] = field(default_factory=dict)

    def restore(self, key: bytes, rate: RateTerm, count: DayCount, now_ms: int) -> None:
        """Begin where a stored count ended. The bucket begins full."""
        self._accounts[key] = _Account(count, rate.burst * _CALL, now_ms)

    def take(self, key: bytes, rate: RateTerm, share: Share, wanted: int, now_ms: int) -> int:
        """Give out at least one call, at most `wanted`; returns how many.

        Raises:
            SimpulError: ACCESS_RATE, ACCESS_QUOTA: none may be begun now. Its details say in how
                many milliseconds one may, `retry_after_ms`.
        """
        account = self._account(key, rate, now_ms)
        day_limit = share.of(rate.calls_per_day) - account.count.given
        if rate.calls_per_day and day_limit <= 0:
            left_ms = (account.count.day + 1) * MS_PER_DAY - DAY_OFFSET_MS - now_ms
            raise _refused(
                Code.ACCESS_QUOTA, f"the agreement's {rate.calls_per_day} calls a day are used up",
                left_ms,
            )  # fmt: skip
        given = wanted
        if rate.calls_per_second:
            given = min(given, self._tokens(account, rate, share, now_ms))
        if rate.calls_per_day:
            given = min(given, day_limit)
        account.tokens -= given * _CALL if rate.calls_per_second else 0
        account.count = DayCount(account.count.day, account.count.given + given)
        return given

    def count(self, key: bytes) -> DayCount | None:
        """The day's count of an agreement: what is to be stored before a lease is used."""
        account = self._accounts.get(key)
        return None if account is None else account.count

    def keep(self, keys: frozenset[bytes]) -> None:
        """Forget all other agreements."""
        for key in self._accounts.keys() - keys:
            del self._accounts[key]

    def _account(self, key: bytes, rate: RateTerm, now_ms: int) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            account = _Account(DayCount(day_of(now_ms), 0), rate.burst * _CALL, now_ms)
            self._accounts[key] = account
        day = day_of(now_ms)
        if day > account.count.day:
            account.count = DayCount(day, 0)
        return account

    @staticmethod
    def _tokens(account: _Account, rate: RateTerm, share: Share, now_ms: int) -> int:
        per_second = share.of(rate.calls_per_second * _CALL)
        # A share of a small burst is still a call, or nothing could ever be begun.
        full = max(share.of(rate.burst), 1 if per_second else 0) * _CALL
        passed_ms = max(0, now_ms - account.filled_at_ms)
        account.tokens = min(full, account.tokens + passed_ms * per_second // 1000)
        account.filled_at_ms = max(account.filled_at_ms, now_ms)
        if account.tokens < _CALL:
            lacking = _CALL - account.tokens
            wait_ms = -(-lacking * 1000 // per_second) if per_second else MS_PER_DAY
            raise _refused(
                Code.ACCESS_RATE,
                f"the agreement permits {rate.calls_per_second} calls a second",
                wait_ms,
            )
        return account.tokens // _CALL


def day_of(now_ms: int) -> int:
    """The day, counted from the epoch, in Western Indonesia Time."""
    return (now_ms + DAY_OFFSET_MS) // MS_PER_DAY


def _refused(code: Code, what: str, wait_ms: int) -> SimpulError:
    return SimpulError(
        code, f"{what}; try again in {wait_ms / 1000:.1f} s", retry_after_ms=str(wait_ms)
    )
