"""One arena for all threads, asked of a process of its own: it can't be taken back."""

import platform
import re
import subprocess
import sys

import pytest

# Threads that hold memory of the C library's all at once; then glibc says how many arenas it has.
PROGRAM = """
import ctypes, threading
from runtime.memory import share_one_arena
if {share}:
    assert share_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
held = threading.Barrier(9)
def hold():
    libc.malloc(100_000)
    held.wait()
    held.wait()
threads = [threading.Thread(target=hold, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
held.wait()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
held.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
def test_threads_share_one_arena() -> None:
    def arenas(*, share: bool) -> int:
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(share=share)],
            capture_output=True,
            text=True,
            check=True,
        )
        return len(re.findall(r"<heap nr=", ran.stdout))

    assert arenas(share=True) == 1
    assert arenas(share=False) > 1
