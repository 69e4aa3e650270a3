"""TLS to services: whom this node believes, and what it proves itself with.

The service's certificate must be for the host in its target, and come from the authorities in
`services.ca_file`, or from those that the machine trusts. The node shows the certificate in
`services.certificate`, or the one that the federation gave it for its links: a service that asks
for it knows that its calls come from this node and no other.

Files are read anew for each connection, so that a renewed certificate needs no restart.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from node.config import ServicesSection
from node.home import KeyName, NodeHome
from security.errors import Code, SimpulError

ALPN: Final = "h2"


@dataclass(frozen=True, slots=True)
class ServiceTls:
    """The files."""

    certificate: Path
    key: Path
    # None: what the machine trusts.
    authorities: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For a connection.

        Raises:
            SimpulError: A file can't be read, or isn't what it should be (CONFIG_INVALID).
        """
        try:
            context = ssl.create_default_context(cafile=self.authorities)
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            raise self._unusable(error) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([ALPN])
        return context

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """The same for grpcio.

        Raises:
            SimpulError: A file can't be read (CONFIG_INVALID).
        """
        try:
            roots = None if self.authorities is None else self.authorities.read_bytes()
            pair = self.key.read_bytes(), self.certificate.read_bytes()
        except OSError as error:
            raise self._unusable(error) from error
        return grpc.ssl_channel_credentials(roots, *pair)

    def _unusable(self, error: OSError) -> SimpulError:
        names = [self.authorities, self.certificate, self.key]
        files = ", ".join(str(name) for name in names if name is not None)
        return SimpulError(
            Code.CONFIG_INVALID,
            f"TLS to services needs {files}, and one of them can't be used "
            f"({error.strerror or error}): see services.ca_file, services.certificate and "
            "services.key",
        )


def service_tls(home: NodeHome, config: ServicesSection) -> ServiceTls:
    """What a node's configuration says.

    Raises:
        SimpulError: Only one of certificate and key is named (CONFIG_INVALID).
    """
    if (config.certificate is None) != (config.key is None):
        raise SimpulError(
            Code.CONFIG_INVALID,
            "services.certificate and services.key belong together: name both, or neither",
        )
    authorities = None if config.ca_file is None else home.path / config.ca_file
    if config.certificate is None or config.key is None:
        return ServiceTls(home.chain, home.key_file(KeyName.TLS), authorities)
    return ServiceTls(home.path / config.certificate, home.path / config.key, authorities)
