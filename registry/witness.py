"""The registry as a witness of the journals: knows the logs that its directory lists.

A log's origin names a node and a slot; its key is the node's. A node that is no longer active has
no key that is trusted here: its log is known, and cosigned no more.

The witness itself is `runtime.witness`; any program may be one.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import structlog

from registry.config import WitnessSection
from registry.directory.records import slot_origin
from registry.home import RegistryHome
from registry.metrics import Metrics
from registry.model import NodeState
from registry.store import nodes
from registry.store.database import Store
from runtime.witness.desk import Witness
from runtime.witness.server import serve_witness
from runtime.witness.store import WitnessStore
from security.errors import SimpulError
from security.identifiers import NodeId
from security.keys import PublicKey

_ORIGIN: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,62})\.[a-z0-9.]+/journal/([0-9]{1,3})")

_log = structlog.stdlib.get_logger(__name__)


def log_keys(store: Store, federation: str, origin: str) -> Sequence[PublicKey] | None:
    """The keys of the log of this origin: none where its node isn't active; None for no log."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    try:
        wanted = NodeId.parse(f"{federation}/~{match[1]}")
    except SimpulError:
        return None
    with store.transaction() as session:
        node = nodes.find(session, wanted)
    slot = int(match[2])
    if node is None or slot >= node.slots or slot_origin(node, slot) != origin:
        return None
    return (node.key,) if node.state is NodeState.ACTIVE else ()


def start_witness(
    stack: AsyncExitStack,
    place: RegistryHome,
    settings: WitnessSection,
    store: Store,
    metrics: Metrics,
    *,
    federation: str,
    now_ms: Callable[[], int],
) -> None:
    """Serves the witness until the stack ends, where the registry has a key for it.

    Raises:
        SimpulError: PORT_IN_USE, DATABASE_CORRUPT, DATABASE_FAILED, KEY_MALFORMED.
    """
    if not place.witness_key_file.is_file():
        # A home of the first version. Its policy names no witness either.
        _log.warning("this registry is no witness", missing=str(place.witness_key_file))
        return
    memory = WitnessStore(place.witness_memory)
    stack.callback(memory.close)
    witness = Witness(
        place.witness_name(federation),
        place.witness_key(),
        memory,
        partial(log_keys, store, federation),
        now_ms,
        lambda status: metrics.witnessed.labels(str(status.value)).inc(),
    )
    server = serve_witness(witness, settings.listen, setting="witness.listen")
    stack.callback(server.close)
