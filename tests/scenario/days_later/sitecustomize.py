"""Loaded by Python itself where a test puts this folder on its path: the clock is days ahead."""

import os
import time

_NS_PER_DAY = 24 * 60 * 60 * 10**9
_AHEAD_NS = int(os.environ.get("TEST_DAYS_LATER", "0")) * _NS_PER_DAY
_time_ns = time.time_ns

time.time_ns = lambda: _time_ns() + _AHEAD_NS
