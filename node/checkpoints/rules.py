"""Decisions about checkpoints, on values alone.

A node that was restored from a backup, or copied, would sign a second history for its log. So
before it signs, what it signed before must be a prefix of what it has; and after each start the
witnesses say what that was, because the node's own memory may have been restored with the rest.

A checkpoint that a quorum of `q` of `n` witnesses cosigned is known to at least one of any
`n - q + 1` of them: so many must answer before the first signature.

Pure: no clock, no network.

Source: docs/spec, "Journal: checkpoints"; c2sp.org/tlog-checkpoint, "Signatures".
"""

from typing import Final

from security.checkpoint import Checkpoint
from security.errors import Code, SimpulError
from security.merkle import Frontier, verify_consistency
from security.oversight import TimePolicyView
from security.tiles import Hashes, consistency_path, root_of

# A witness or an authority that fails is left alone for a while, twice as long each time.
FIRST_REST_MS: Final = 1_000
LONGEST_REST_MS: Final = 60_000


def answers_needed(witnesses: int, quorum: int) -> int:
    """Returns how many of the witnesses must say what they know before the first signature."""
    return witnesses - quorum + 1 if witnesses > 0 else 0


def check_continues(tree: Hashes, head: Frontier, older: Checkpoint, told_by: str) -> None:
    """Checks that a journal's tree continues a checkpoint that this node signed.

    Args:
        tree: The journal's hashes, of `head` or later.
        head: The tree as the journal states it.
        older: The checkpoint.
        told_by: Who has it, for the message.

    Raises:
        SimpulError: JOURNAL_RESTORED_OR_FORKED; JOURNAL_CORRUPT from `tree`.
    """
    if older.size > head.size:
        raise _not_ours(
            f"{told_by} has a checkpoint of {older.size} parcels, and the journal has {head.size}"
        )
    path = consistency_path(tree, older.size, head.size)
    try:
        verify_consistency(older.size, older.root, head.size, head.root(), path)
    except SimpulError as error:
        raise _not_ours(
            f"{told_by} has a checkpoint of {older.size} parcels that aren't the journal's"
        ) from error


def check_whole(tree: Hashes, head: Frontier) -> None:
    """Checks that a journal's stored hashes make the tree that it states.

    Raises:
        SimpulError: JOURNAL_CORRUPT.
    """
    if root_of(tree, head.size) != head.root():
        raise SimpulError(
            Code.JOURNAL_CORRUPT,
            "the journal's hashes don't make the tree that it states: run simpul journal verify",
        )


def rest_ms(failures: int) -> int:
    """Returns how long who has failed so many times in a row is left alone; 0 for none."""
    if failures == 0:
        return 0
    return int(min(FIRST_REST_MS << min(failures - 1, 16), LONGEST_REST_MS))


def overdue(
    policy: TimePolicyView | None, failing_since_ms: int | None, now_ms: int
) -> SimpulError | None:
    """Returns the error where time stamps have failed for longer than the policy allows."""
    if policy is None or failing_since_ms is None:
        return None
    # A clock that was put back must not make it younger than nothing.
    age_ms = max(0, now_ms - failing_since_ms)
    if age_ms <= policy.max_age_ms:
        return None
    return SimpulError(
        Code.TIMESTAMP_OVERDUE,
        f"no authority has stamped this node's journal for {age_ms // 1000} s, and the federation "
        f"allows {policy.max_age_ms // 1000} s: mend the way to its time-stamp authorities",
    )


def _not_ours(what: str) -> SimpulError:
    return SimpulError(
        Code.JOURNAL_RESTORED_OR_FORKED,
        f"{what}: it was restored from an old backup, copied or changed. Stop the node and put the "
        "newest journal back; where it's lost, enrol the node anew under another name",
    )
