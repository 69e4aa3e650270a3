"""Who checks whom, from a node's home: its keys, its certificate, its copy of the directory."""

import os
from collections.abc import Callable

import grpc

from node.config import load_config
from node.conformance.probe import Parties
from node.directory.folder import ReplicaFolder, absent
from node.directory.load import load_view
from node.home import KeyName, NodeHome
from node.keyring import open_ring
from runtime.grpc_options import refuse_old_tls
from security.certificate import to_pem
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId


def read_parties(
    home: NodeHome, address: str, wanted: NodeId | None, now_ms: Callable[[], int]
) -> Parties:
    """Who the home's node is, and who answers at `address`; the home is locked by the caller.

    Raises:
        SimpulError: DIRECTORY_ABSENT; NODE_UNKNOWN, NODE_REVOKED for the node to be checked;
            REQUEST_MALFORMED where it is this one, or seals for no member.
    """
    config = load_config(home, os.environ)
    folder = ReplicaFolder(home.directory)
    current = folder.current()
    if current is None:
        raise absent(home.directory)
    view = load_view(current)
    peer = _listed(view, address) if wanted is None else wanted
    view.require_active_node(peer)
    if peer == config.node_id:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"{peer} is the node of this home; give another one's address"
        )
    ring, member = open_ring(home, config, os.environ), config.member_ids[0]
    refuse_old_tls()
    return Parties(
        node=config.node_id,
        member=member,
        node_key=ring.node_key(view, config.node_id),
        seal_key=ring.sealing_key(member, view, config.node_id, now_ms()),
        peer=peer,
        peer_member=_hosted(view, peer, member),
        address=address,
        directory=view,
        credentials=grpc.ssl_channel_credentials(
            to_pem(*view.policy.tls_authorities), home.read_pem(KeyName.TLS), home.read_chain()
        ),
        now_ms=now_ms,
    )


def _listed(view: DirectoryView, address: str) -> NodeId:
    for node in view.nodes.values():
        if node.link_address == address:
            return node.id
    raise SimpulError(
        Code.NODE_UNKNOWN, f"the directory lists no node at {address}; name it with --node"
    )


def _hosted(view: DirectoryView, node: NodeId, mine: MemberId) -> MemberId:
    """A member other than ours that the node seals for."""
    for member, record in view.members.items():
        if member != mine and any(key.node == node for key in record.seal_keys.values()):
            return member
    raise SimpulError(
        Code.REQUEST_MALFORMED,
        f"{node} seals for no member but {mine}; check it from the node of another member",
    )
