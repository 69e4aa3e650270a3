"""Puts a node's checkpoints together. The only module here that names the parts' kinds."""

import os
from collections.abc import Callable

from node.checkpoints.authorities import HttpAuthorities
from node.checkpoints.http import HttpClient
from node.checkpoints.keeper import Keeper
from node.checkpoints.latest import LatestStore
from node.checkpoints.log import Tools
from node.checkpoints.watch import CheckpointMetrics
from node.checkpoints.witnesses import HttpWitnesses
from node.config import NodeConfig, journal_place
from node.home import NodeHome
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.keyring import open_ring
from security.directory import DirectoryView
from security.errors import SimpulError


def open_keeper(
    home: NodeHome,
    config: NodeConfig,
    directory: Callable[[], DirectoryView],
    metrics: CheckpointMetrics,
    now_ms: Callable[[], int],
    on_refusal: Callable[[SimpulError | None], None],
) -> Keeper:
    """Opens the journal and what is remembered beside it. Nothing runs before `start`.

    `directory` gives the newest; `on_refusal` is as `Keeper` says.

    Raises:
        SimpulError: as the journal's opening does; JOURNAL_FAILED.
    """
    client, ring = HttpClient(), open_ring(home, config, os.environ)
    tools = Tools(
        node=config.node_id,
        # The one that witnesses and peers read in the directory.
        key=lambda: ring.node_key(directory(), config.node_id),
        store=SqlCheckpointStore.open(journal_place(config, home)),
        latest=LatestStore(home.checkpoints),
        directory=directory,
        witnesses=HttpWitnesses(client),
        authorities=HttpAuthorities(client),
        metrics=metrics,
        now_ms=now_ms,
    )
    return Keeper(tools, config.journal.checkpoint_s, on_refusal)
