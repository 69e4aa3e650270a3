"""A node's catalogue, with what it reads: the directory, the journal, where apps call."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from node.catalogue.service import Catalogue
from node.catalogue.show import ByService
from node.catalogue.snippets.called import Gateway
from node.config import NodeConfig, journal_place
from node.home import NodeHome
from node.journal.usage import UsageReader
from runtime.ports import Address, TcpAddress
from security.directory import DirectoryView

_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - to be told from others


def open_catalogue(
    home: NodeHome,
    config: NodeConfig,
    directory: Callable[[], DirectoryView],
    now_ms: Callable[[], int],
) -> Catalogue:
    """The catalogue of this node; nothing is read before it is asked."""

    def traffic(
        services: Collection[str], since_ms: int, most: int, consumers: Collection[str] | None
    ) -> tuple[ByService, bool]:
        with UsageReader(journal_place(config, home)) as reader:
            return reader.traffic(services, since_ms, most, consumers)

    tls = config.gateway.certificate is not None
    gateway = Gateway(reachable(config.gateway.listen), tls=tls)
    return Catalogue(directory, traffic, gateway, now_ms)


def reachable(listen: Address) -> str:
    """Where an app on this machine reaches what listens there."""
    if isinstance(listen, TcpAddress) and listen.host in _EVERYWHERE:
        return str(TcpAddress("localhost", listen.port))
    return str(listen)
