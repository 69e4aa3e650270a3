"""A node as a witness of the other nodes' journals, where its configuration says so.

It knows the logs that its directory lists. Whether its cosignatures count is the federation's to
say: the policy names witnesses by their verifier keys, and this one's is logged at the start.

The witness itself is `runtime.witness`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import structlog

from node.config import NodeConfig
from node.home import KeyName, NodeHome
from runtime.files import make_private_folder
from runtime.ports import TcpAddress
from runtime.witness.desk import Witness
from runtime.witness.server import serve_witness
from runtime.witness.store import WitnessStore
from security.directory import DirectoryView
from security.directory_records import NodeState
from security.keys import Algorithm, PublicKey, generate

MEMORY: Final = "memory.db"

_log = structlog.get_logger(__name__)


class ListedLogs:
    """The keys of the logs that the newest directory lists. Any thread may ask."""

    def __init__(self, directory: Callable[[], DirectoryView]) -> None:
        self._directory = directory
        # Of one version; made anew with the next one.
        self._made: tuple[bytes, Mapping[str, Sequence[PublicKey]]] = (b"", {})

    def __call__(self, origin: str) -> Sequence[PublicKey] | None:
        """The log's keys: none where its node isn't active; None for no log."""
        view = self._directory()
        made = self._made
        if made[0] != view.hash:
            made = self._made = (view.hash, _logs(view))
        return made[1].get(origin)


def start_witness(
    stack: AsyncExitStack,
    home: NodeHome,
    config: NodeConfig,
    listen: TcpAddress,
    directory: Callable[[], DirectoryView],
    now_ms: Callable[[], int],
) -> TcpAddress:
    """Serves the witness until the stack ends; its key is made at the first start.

    Raises:
        SimpulError: PORT_IN_USE, DATABASE_CORRUPT, DATABASE_FAILED, KEY_MALFORMED.
    """
    if not home.key_file(KeyName.WITNESS).exists():
        home.write_key(KeyName.WITNESS, generate(Algorithm.ED25519).to_pem())
    make_private_folder(home.witness)
    memory = WitnessStore(home.witness / MEMORY)
    stack.callback(memory.close)
    witness = Witness(
        f"{config.node_id.dns_name}/witness",
        home.read_key(KeyName.WITNESS),
        memory,
        ListedLogs(directory),
        now_ms,
    )
    server = serve_witness(witness, listen, setting="witness.listen")
    stack.callback(server.close)
    _log.info("this node is a witness", vkey=witness.key.vkey, address=str(server.address))
    return server.address


def _logs(view: DirectoryView) -> Mapping[str, Sequence[PublicKey]]:
    return {
        slot.origin: (node.node_key,) if node.state is NodeState.ACTIVE else ()
        for node in view.nodes.values()
        for slot in node.slots
    }
