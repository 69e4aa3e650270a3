import time

from runtime.clock import now_ms


def test_it_is_the_time_in_whole_milliseconds() -> None:
    before = int(time.time() * 1000)
    now = now_ms()
    assert isinstance(now, int)
    assert before <= now <= int(time.time() * 1000) + 1
