"""A real time-stamp authority: `openssl ts` behind a small HTTP server on a free port."""

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

OPENSSL = shutil.which("openssl")

_CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[signer]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_cert = {folder}/signer.crt
signer_key = {folder}/signer.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    """A running authority. `broken` answers 500; `lying` answers what it gave first."""

    url: str
    certificate: bytes
    folder: Path
    broken: bool = False
    lying: bytes | None = None
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, query: bytes) -> bytes:
        """What `openssl ts -reply` says."""
        with self.lock:
            self.asked += 1
            (self.folder / "query.tsq").write_bytes(query)
            _openssl(
                self.folder, "ts", "-reply", "-queryfile", "query.tsq", "-out", "reply.tsr",
                "-config", "tsa.cnf", "-section", "here",
            )  # fmt: skip
            return (self.folder / "reply.tsr").read_bytes()


@contextmanager
def authority(name: str = "TSA") -> Iterator[Authority]:
    """Runs an authority with a root and a signer of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        certificate = _make(place, name)
        server = HTTPServer(("127.0.0.1", 0), _Handler)
        made = Authority(f"http://127.0.0.1:{server.server_port}/tsa", certificate, place)
        server.authority = made  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        made: Authority = self.server.authority  # type: ignore[attr-defined]
        query = self.rfile.read(int(self.headers["Content-Length"]))
        if made.broken or self.headers["Content-Type"] != "application/timestamp-query":
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        answer = made.lying or made.answer(query)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


def _make(folder: Path, name: str) -> bytes:
    (folder / "tsa.cnf").write_text(_CONFIG.format(name=name, folder=folder))
    (folder / "serial").write_text("01\n")
    for who in ("root", "signer"):
        _openssl(
            folder, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{who}.pem",
            "-out", f"{who}.csr", "-config", "tsa.cnf", "-subj", f"/CN={name} {who}",
        )  # fmt: skip
    common = ("-extfile", "tsa.cnf", "-days", "30", "-sha256")
    _openssl(
        folder, "x509", "-req", "-in", "root.csr", "-signkey", "root.pem", "-out", "root.crt",
        "-extensions", "root", *common,
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", "signer.csr", "-CA", "root.crt", "-CAkey", "root.pem",
        "-set_serial", "2", "-out", "signer.crt", "-extensions", "signer", *common,
    )  # fmt: skip
    _openssl(folder, "x509", "-in", "root.crt", "-outform", "DER", "-out", "root.der")
    return (folder / "root.der").read_bytes()


def _openssl(folder: Path, *arguments: str) -> None:
    if OPENSSL is None:
        raise FileNotFoundError("openssl")
    subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True, timeout=30)
