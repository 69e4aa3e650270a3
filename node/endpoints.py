"""Where a node that serves can be reached: a file that stands as long as it does."""

import json
import os
from pathlib import Path

from node.config import NodeConfig
from node.home import NodeHome
from runtime.files import write_private
from runtime.ports import Address


def endpoints_file(home: NodeHome) -> Path:
    """The file."""
    return home.run / "endpoints.json"


def write_endpoints(home: NodeHome, config: NodeConfig, metrics: Address) -> None:
    """For programs on this machine that start a node and wait for it."""
    said = {
        "node": config.node.id,
        "members": list(config.node.members),
        "gateway": str(config.gateway.listen),
        "link": str(config.link.listen),
        "metrics": str(metrics),
        "pid": os.getpid(),
    }
    write_private(endpoints_file(home), json.dumps(said, indent=2).encode() + b"\n")
