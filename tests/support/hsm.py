"""A token in software (SoftHSM2), in a folder of its own: what an HSM is to the tests.

Tests that need it skip where it isn't installed, and say what to install.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

LIBRARIES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
    Path("/opt/homebrew/lib/softhsm/libsofthsm2.so"),
)
LABEL = "simpul"
PIN = "1234"


@dataclass(frozen=True, slots=True)
class Hsm:
    """A folder of tokens; `conf` is what SOFTHSM2_CONF names."""

    library: str
    conf: Path
    tokens: Path

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to find it, and to open it."""
        return {"SOFTHSM2_CONF": str(self.conf), "SIMPUL_HSM_PIN": PIN}

    def remove(self) -> None:
        """Pull the token out."""
        self.tokens.rename(self.tokens.with_name("away"))

    def put_back(self) -> None:
        """Plug it in again."""
        self.tokens.with_name("away").rename(self.tokens)

    def add_token(self, label: str, pin: str = PIN) -> None:
        """A further token."""
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin,
             "--so-pin", "5678"],
            env={**os.environ, **self.env}, check=True, capture_output=True,
        )  # fmt: skip


def library() -> str:
    """SoftHSM2's library; skips the test where there is none."""
    found = next((path for path in LIBRARIES if path.is_file()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed: apt-get install softhsm2")
    return str(found)


def make_hsm(folder: Path) -> Hsm:
    """A new token named `simpul` with PIN 1234; skips the test where SoftHSM2 is not installed."""
    made = Hsm(library(), folder / "softhsm2.conf", folder / "tokens")
    made.tokens.mkdir(parents=True)
    made.conf.write_text(
        f"directories.tokendir = {made.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    made.add_token(LABEL)
    return made


@contextmanager
def in_this_process(hsm: Hsm) -> Iterator[None]:
    """This process's SoftHSM2 looks at `hsm` from here on, and not at another test's."""
    from runtime.key_stores import token  # noqa: PLC0415 - where it is skipped it isn't needed

    before = {name: os.environ.get(name) for name in hsm.env}
    os.environ.update(hsm.env)
    held = token.module(hsm.library)
    with held.lock:
        held.renew(held.generation)
        held.refused_pins.clear()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
