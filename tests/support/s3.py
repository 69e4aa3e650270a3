"""A store that speaks S3, on loopback: moto's server, a real process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3

from tests.support.ports import free_port

BUCKET = "journals"
# A server that takes longer than this is not coming.
START_S = 30.0


@contextmanager
def s3_store() -> Iterator[dict[str, str]]:
    """Yields the environment by which it's reached, with an empty bucket in it."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _make_bucket(url)
        yield {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": url,
        }
    finally:
        server.terminate()
        server.wait()


def _make_bucket(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib3.request("PUT", f"{url}/{BUCKET}", timeout=5, retries=False)
        except urllib3.exceptions.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
