"""A node that has joined takes on a further member: what `simpul node host` does.

The node must not run: its workers learn whom they serve when they start. The steps, in `host`:

1. The token is whole, of this federation, and for this node.
2. The home is a node's, and no program uses it.
3. Keys are made, or taken up from an earlier try, and durable before anybody hears of them: a seal
   key, and an identity key where the member has none yet.
4. The registry grants it; now the token is used.
5. `node.toml` names the member, for whom the node acts from its next start on.

Where the member has a statement already, its other node must list this one's seal key before peers
take what it seals.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from node.config import NodeConfig, load_config
from node.config_edit import replace_value
from node.directory.replica import Replica
from node.enrol import first_statement
from node.home import KeyName, NodeHome
from node.keyring import KeyRing, key_store
from node.new_keys import NewKeys, new_key
from node.registry_client import NodeChanges, RegistryClient
from node.store.engine import Store
from runtime.key_stores.store import KeyStore
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.keys import PrivateKey
from security.seal_request import SealKeyRequestView, make_seal_key_request
from security.token import EnrolmentToken, fingerprint, parse_token
from simpul.v1 import statement_pb2


@dataclass(frozen=True, slots=True)
class Hosted:
    """A member that the node seals for. `asked`: its other node must list the key first.

    The fingerprint is empty where the member's identity key is not known here.
    """

    token: EnrolmentToken
    fingerprint: str
    asked: bool
    version: int


async def host(
    home: NodeHome, token_text: str, clock: Callable[[], int], keys: NewKeys | None = None
) -> Hosted:
    """Takes on a member.

    Args:
        home: The node's.
        token_text: From the registry's operator.
        clock: Gives milliseconds since the epoch, UTC.
        keys: Where the new keys are to lie; None: in files.

    Raises:
        SimpulError: TOKEN_MALFORMED, HOME_FOREIGN (1), HOME_LOCKED (2), ALREADY_EXISTS,
            REGISTRY_UNREACHABLE, TOKEN_UNKNOWN, TOKEN_USED, TOKEN_EXPIRED, APPROVAL_PENDING and
            what else the registry refuses it for (4).
    """
    # 1. Token.
    token = parse_token(token_text)
    config = load_config(home, os.environ)
    _check_token(home, config, token)
    # 2. Home.
    with home.lock():
        store = Store.open(home.state)
        client = RegistryClient(
            config.registry.address, home.read_registry_certificate(), config.federation
        )
        try:
            place = _Place(home, config, keys or NewKeys())
            return await _host(place, token, client, store, clock())
        finally:
            await client.close()
            store.close()


@dataclass(frozen=True, slots=True)
class _Place:
    home: NodeHome
    config: NodeConfig
    keys: NewKeys


async def _host(
    place: _Place,
    token: EnrolmentToken,
    client: RegistryClient,
    store: Store,
    now_ms: int,
) -> Hosted:
    home, config = place.home, place.config
    members = tuple(dict.fromkeys((*config.member_ids, token.member)))
    opening = key_store(home, config, os.environ)
    ring, view = KeyRing(home, members, opening), _directory(home, config, store, now_ms)
    node_key = ring.node_key(view, config.node_id)
    # 3. Keys.
    seal = _key(ring, KeyName.SEAL, token, place.keys, opening)
    listing: statement_pb2.SignedStatement | statement_pb2.SignedSealKeyRequest
    if token.has_statement:
        asked = SealKeyRequestView(token.member, token.node, seal.public, now_ms)
        listing = make_seal_key_request(asked, node_key)
        known = None if view is None else view.members.get(token.member)
        statement = None if known is None else known.statement
        identity = None if statement is None else statement.identity_key
    else:
        mine = _key(ring, KeyName.IDENTITY, token, place.keys, opening)
        listing, identity = first_statement(token, mine, seal, now_ms), mine.public
    # 4. Registry.
    changes = NodeChanges(client, config.node_id, lambda: node_key, store)
    version = await changes.host_member(token.secret, token.member, listing, now_ms)
    # 5. Configuration.
    replace_value(home.config, "node", "members", [str(member) for member in members])
    shown = (
        ""
        if identity is None
        else fingerprint(token.member, token.node, identity, node_key.public, seal.public)
    )
    return Hosted(token, shown, token.has_statement, version)


def _check_token(home: NodeHome, config: NodeConfig, token: EnrolmentToken) -> None:
    home.check_federation(config.federation, token.federation)
    if token.node != config.node_id:
        raise SimpulError(
            Code.HOME_FOREIGN,
            f"the token is for {token.node}, and {home.path} is the home of {config.node_id}: give "
            "that node's home, or ask for another token",
        )


def _key(
    ring: KeyRing, name: KeyName, token: EnrolmentToken, new: NewKeys, store: KeyStore
) -> PrivateKey:
    def found() -> tuple[PrivateKey, ...]:
        keys = ring.seal_keys if name is KeyName.SEAL else ring.identity_keys
        return keys(token.member)

    if not found():
        made = new_key(new.uri(name), new.algorithm, store)
        ring.make_next(name, token.member, made)
    return found()[-1]


def _directory(
    home: NodeHome, config: NodeConfig, store: Store, now_ms: int
) -> DirectoryView | None:
    """The copy on the disk, if there is one: it says which node key is listed."""
    replica = Replica(home.directory, config.federation, home.read_root(), store)
    try:
        replica.open_local(now_ms)
    except SimpulError:
        return None
    return replica.view
