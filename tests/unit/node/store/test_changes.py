from concurrent.futures import ThreadPoolExecutor

from node.store.changes import next_change_number
from node.store.engine import Store

NOW_MS = 1_700_000_000_000


def test_numbers_rise_even_where_the_clock_goes_back(store: Store) -> None:
    assert next_change_number(store, NOW_MS) == NOW_MS
    assert next_change_number(store, NOW_MS) == NOW_MS + 1
    assert next_change_number(store, NOW_MS - 1_000_000) == NOW_MS + 2
    assert next_change_number(store, NOW_MS + 10) == NOW_MS + 10


def test_no_two_threads_get_one_number(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda _: next_change_number(store, NOW_MS), range(40)))
    assert len(set(numbers)) == 40
