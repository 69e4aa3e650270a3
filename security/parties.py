"""The identity keys by which agreements and delegations name their parties.

A party is a member and the id of a key; the key itself is the directory's, or one that the caller
has pinned and has seen hand over to the directory's. So a registry that lists a false key changes
nothing that was signed before.

Source: docs/spec, "Agreements: verification".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from security.agreement_terms import Party
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.keys import PublicKey

# Whose key, and its id. A key that is pinned for one member says nothing of another: found by its
# id alone, whoever is pinned could sign as everybody else.
Pinned = Mapping[tuple[MemberId, bytes], PublicKey]

NO_PINS: Final[Pinned] = MappingProxyType({})


def identity_key(party: Party, directory: DirectoryView, pinned: Pinned) -> PublicKey:
    """The key that a document names for a party: step 4 of agreements and of delegations.

    Raises:
        SimpulError: MEMBER_UNKNOWN, KEY_UNKNOWN, KEY_REVOKED, IDENTITY_CHANGED.
    """
    listed = directory.identity_key(party.member)
    if party.identity_key_id in directory.member(party.member).revoked:
        raise SimpulError(
            Code.KEY_REVOKED,
            f"the identity key that {party.member} had in the agreement is revoked; make a new one",
            step="4",
        )
    if listed.key_id == party.identity_key_id:
        return listed
    kept = pinned.get((party.member, party.identity_key_id))
    if kept is None or kept.key_id != party.identity_key_id:
        raise SimpulError(
            Code.IDENTITY_CHANGED,
            f"the directory lists another identity key of {party.member} than the agreement names; "
            "compare the fingerprint with that member by another way",
            step="4",
            member=str(party.member),
        )
    return kept
