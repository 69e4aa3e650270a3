"""An authority outside the federation, by the openssl command, as a national one would use it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

CA = """basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""
BOTH = "serverAuth,clientAuth"


@dataclass(frozen=True, slots=True)
class OpensslCa:
    """A root with an intermediate that issues; `kind`: rsa:3072, ec:prime256v1, ec:secp384r1."""

    folder: Path
    kind: str = "rsa:3072"

    def found(self, days: int = 3650) -> "OpensslCa":
        """Makes root and intermediate."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key("root")
        self._key("middle")
        (self.folder / "ca.ext").write_text(CA)
        root = ("-key", "root.key", "-subj", "/C=ID/O=National Root", "-days", str(days))
        self.run("req", "-new", *root[:4], "-out", "root.csr")
        self.run("x509", "-req", "-in", "root.csr", "-signkey", "root.key", "-extfile", "ca.ext",
                 "-days", str(days), "-sha256", "-out", "root.pem")  # fmt: skip
        self.run("req", "-new", "-key", "middle.key", "-subj", "/C=ID/O=National Issuing",
                 "-out", "middle.csr")  # fmt: skip
        self.run("x509", "-req", "-in", "middle.csr", "-CA", "root.pem", "-CAkey", "root.key",
                 "-CAcreateserial", "-extfile", "ca.ext", "-days", str(days), "-sha256",
                 "-out", "middle.pem")  # fmt: skip
        return self

    @property
    def root_der(self) -> bytes:
        """What a policy lists."""
        return self.run("x509", "-in", "root.pem", "-outform", "DER")

    def issue(
        self, csr: bytes, *names: str, usage: str = BOTH, days: int = 90, extra: str = "",
        intermediate: bool = True, critical: bool = False,
    ) -> bytes:  # fmt: skip
        """A chain in PEM for a request: its certificate, and the intermediate's."""
        (self.folder / "node.csr").write_bytes(csr)
        usages = f"extendedKeyUsage={usage}\n" if usage else ""
        listed = ",".join(f"DNS:{name}" for name in names)
        (self.folder / "node.ext").write_text(
            f"subjectAltName={'critical,' * critical}{listed}\n{usages}"
            "keyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n"
            f"authorityKeyIdentifier=keyid\n{extra}"
        )
        self.run("x509", "-req", "-in", "node.csr", "-CA", "middle.pem", "-CAkey", "middle.key",
                 "-CAcreateserial", "-extfile", "node.ext", "-days", str(days), "-sha256",
                 "-out", "node.pem")  # fmt: skip
        leaf = (self.folder / "node.pem").read_bytes()
        return leaf + (self.folder / "middle.pem").read_bytes() if intermediate else leaf

    def run(self, *arguments: str) -> bytes:
        """One openssl command, in the authority's folder."""
        return subprocess.run(
            ["openssl", *arguments], cwd=self.folder, check=True, capture_output=True
        ).stdout

    def _key(self, name: str) -> None:
        kind, _, of = self.kind.partition(":")
        option = f"rsa_keygen_bits:{of}" if kind == "rsa" else f"ec_paramgen_curve:{of}"
        algorithm = "RSA" if kind == "rsa" else "EC"
        self.run("genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", f"{name}.key")
