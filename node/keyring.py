"""A node's keys, several of each kind: which one is to be used is for the directory to say.

    keys/identity.pem, identity-2.pem …              of the member that runs the node
    keys/seal.pem, seal-2.pem …
    keys/DAERAH-53.16-identity.pem, …-seal.pem …     of a further member that it hosts
    keys/node.pem, node-2.pem …
    keys/seal-3.uri                                  a key in a token (`runtime.key_stores`)

A key is replaced by making the next one beside it, having it listed, and using it from the moment
that it is valid; so nothing stops, and a rotation that was cut short is taken up again. Rules: a
file is never overwritten; of two seal keys that are valid now, the one that became valid last
seals, once every peer's clock, too, must have passed its beginning.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from node.config import NodeConfig
from node.home import KeyName, NodeHome
from runtime.key_stores.store import SUFFIXES, KeyStore
from runtime.key_stores.uri import TokenUri
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, PrivateKey, PublicKey
from security.statement import SealKeyView

# Of the stale age: how far behind a peer's clock may be when a new key begins to seal.
CLOCK_SHARE = 10


class KeyRing:
    """The keys in a home's folder, as they were when it was read last."""

    def __init__(
        self, home: NodeHome, members: Sequence[MemberId], store: KeyStore | None = None
    ) -> None:
        """`members` are those that the node hosts; the first is the one that runs it.

        `store` opens the keys; None: those in the clear only.
        """
        self._home = home
        self._own = members[0]
        self._store = KeyStore() if store is None else store
        self._read: dict[Path, PrivateKey] = {}

    def identity_keys(self, member: MemberId) -> tuple[PrivateKey, ...]:
        """The identity keys of a member, the newest last; empty where they are elsewhere."""
        return self._keys(self._stem(KeyName.IDENTITY, member))

    def seal_keys(self, member: MemberId) -> tuple[PrivateKey, ...]:
        """The seal keys of a member on this node, the newest last."""
        return self._keys(self._stem(KeyName.SEAL, member))

    def node_keys(self) -> tuple[PrivateKey, ...]:
        """The keys of this node, the newest last."""
        return self._keys(KeyName.NODE)

    def every_key(self, member: MemberId) -> tuple[PrivateKey, ...]:
        """All keys that a member has here, old ones too."""
        return (*self.identity_keys(member), *self.seal_keys(member))

    def every_id(self, members: Sequence[MemberId]) -> frozenset[bytes]:
        """The ids of all keys that these members and this node have here, old ones too."""
        rings = map(self.every_key, members)
        keys = (*self.node_keys(), *(key for ring in rings for key in ring))
        return frozenset(key.public.key_id for key in keys)

    def identity_key(self, member: MemberId, listed: PublicKey) -> PrivateKey:
        """The identity key that the directory lists; raises SimpulError IDENTITY_ABSENT."""
        for key in self.identity_keys(member):
            if key.public == listed:
                return key
        raise SimpulError(
            Code.IDENTITY_ABSENT,
            f"the identity key of {member} is not on this node: do it on the node that holds it",
            member=str(member),
        )

    def node_key(self, directory: DirectoryView | None, node: NodeId) -> PrivateKey:
        """The node key that the directory lists, or the oldest that this node has.

        Raises:
            SimpulError: HOME_MISSING, when there is none.
        """
        keys = self.node_keys()
        listed = None if directory is None else directory.nodes.get(node)
        for key in keys:
            if listed is not None and key.public == listed.node_key:
                return key
        if not keys:
            raise _gone(self._home.key_file(KeyName.NODE))
        return keys[0]

    def sealing_key(
        self, member: MemberId, directory: DirectoryView, node: NodeId, now_ms: int
    ) -> PrivateKey:
        """The key that seals for a member now.

        Where the directory lists none of this node's that is valid, the newest is given: peers will
        refuse it, and say why.

        Raises:
            SimpulError: HOME_MISSING, when there is none.
        """
        keys = self.seal_keys(member)
        if not keys:
            raise _gone(self._home.keys / f"{self._stem(KeyName.SEAL, member)}.pem")
        found = directory.members.get(member)
        if found is None:
            return keys[-1]
        ours = {key.public.key_id: key for key in keys}
        listed = [
            item
            for key_id, item in found.seal_keys.items()
            if key_id in ours and item.node == node and key_id not in found.revoked
        ]
        margin_ms = directory.policy.stale_after_ms // CLOCK_SHARE
        item = choose(listed, now_ms, margin_ms)
        return keys[-1] if item is None else ours[item.key.key_id]

    def make_next(self, name: KeyName, member: MemberId | None, key: PrivateKey) -> None:
        """Stores a key as the newest of its kind."""
        stem = name.value if member is None else self._stem(name, member)
        files = self._files(stem)
        number = 1 if not files else _number(files[-1]) + 1
        suffix = "" if number == 1 else f"-{number}"
        self._store.write(self._home.keys / f"{stem}{suffix}", key)

    def in_token(
        self, uri: TokenUri, algorithm: Algorithm, known: Sequence[PrivateKey]
    ) -> PrivateKey:
        """A key in a token that is to be used next: the one of this name, or a new one.

        Raises:
            SimpulError: ALREADY_EXISTS, when it is one of `known`; as `KeyStore.in_token`.
        """
        key = self._store.in_token(uri, algorithm)
        if any(key.public == other.public for other in known):
            raise SimpulError(
                Code.ALREADY_EXISTS,
                f"{uri} is a key that is in use already: give another object= for the new one",
            )
        return key

    def _stem(self, name: KeyName, member: MemberId) -> str:
        if member == self._own:
            return name.value
        return f"{member.member_class}-{member.code}-{name}"

    def _keys(self, stem: str) -> tuple[PrivateKey, ...]:
        return tuple(self._key(file) for file in self._files(stem))

    def _key(self, file: Path) -> PrivateKey:
        # A key's file never changes, so it is read once.
        if file not in self._read:
            self._read[file] = self._store.read(file)
        return self._read[file]

    def _files(self, stem: str) -> list[Path]:
        ends = "|".join(map(re.escape, SUFFIXES))
        pattern = re.compile(re.escape(stem) + rf"(?:-([0-9]+))?(?:{ends})")
        found = [file for file in self._home.keys.iterdir() if pattern.fullmatch(file.name)]
        return sorted(found, key=_number)


def key_store(home: NodeHome, config: NodeConfig, env: Mapping[str, str]) -> KeyStore:
    """How a node's keys are opened, as its configuration and environment say."""
    keys = config.keys
    return KeyStore.configured(
        keys.module,
        str(home.path / keys.pin_file) if keys.pin_file else "",
        str(home.path / keys.passphrase_file) if keys.passphrase_file else "",
        env,
    )


def open_ring(home: NodeHome, config: NodeConfig, env: Mapping[str, str]) -> KeyRing:
    """The keys of a home for the members that its configuration names."""
    return KeyRing(home, config.member_ids, key_store(home, config, env))


def choose(listed: Sequence[SealKeyView], now_ms: int, margin_ms: int) -> SealKeyView | None:
    """Of the keys that are listed for a node, the one to seal with now. Pure.

    The newest that has been valid for `margin_ms`; without one, the newest that is valid at all.
    """
    valid = [item for item in listed if item.valid_from_ms <= now_ms < item.valid_until_ms]
    settled = [item for item in valid if item.valid_from_ms + margin_ms <= now_ms]
    return max(settled or valid, key=lambda item: item.valid_from_ms, default=None)


def _number(file: Path) -> int:
    tail = re.search(r"-([0-9]+)\.[a-z]+$", file.name)
    return 1 if tail is None else int(tail.group(1))


def _gone(file: Path) -> SimpulError:
    return SimpulError(
        Code.HOME_MISSING, f"{file} is gone: restore it from a backup, or enrol the node anew"
    )
