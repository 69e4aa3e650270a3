"""Signs a checkpoint of each slot that grew, once it's certain that no other history was signed.

    1  the newest checkpoint on this machine (file or database) is a prefix of the journal
    2  after a start: enough witnesses have said what they know, and that is a prefix too
    3  there are new parcels
    4  signed, on the disk as the newest, in the journal's database; then it may be shown

A witness's word counts against the journal only where this node's own signature is on what it
shows: a lying witness raises an alarm, and stops nothing.

Source: docs/spec, "Journal: checkpoints".
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from node.checkpoints.log import Patience, SlotLog, Tools
from node.checkpoints.rules import answers_needed, check_continues, check_whole
from node.journal.checkpoints import KeptCheckpoint, SlotHead
from security.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from security.errors import Code, SimpulError
from security.oversight import WitnessView

_log = structlog.get_logger(__name__)

MAX_AT_ONCE: Final = 8


class Signing:
    """See the module's text. For one thread."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._patience = Patience()

    def sign(self, log: SlotLog, head: SlotHead) -> None:
        """Signs a checkpoint of a slot, where all is as it should be and there is something new.

        Raises:
            SimpulError: JOURNAL_RESTORED_OR_FORKED and those of the journal, the file and the
                directory. Nothing was signed.
        """
        tools = self._tools
        origin = tools.origin(head.slot)
        on_disk = tools.latest.load(head.slot)
        newest = self._newest(head.slot, on_disk)
        if log.asked and newest is not None and _is_at(newest.checkpoint, head):
            return
        with tools.store.tree(head.slot) as tree:
            check_whole(tree, head.tree)
            if newest is not None:
                self._require_origin(newest.checkpoint, origin)
                check_continues(tree, head.tree, newest.checkpoint, "this node itself")
        if not log.asked:
            log.asked = self._ask(log, head, origin)
            if not log.asked:
                return
            if newest is not None:
                # The process may have ended between the file and the database.
                self._keep(head.slot, newest)
        if head.tree.size == (0 if newest is None else newest.checkpoint.size):
            return
        checkpoint = Checkpoint(origin, head.tree.size, head.tree.root())
        signed = sign_checkpoint(checkpoint, tools.key())
        tools.latest.swap(head.slot, on_disk, signed)
        self._keep(head.slot, signed)
        tools.metrics.signed(head.slot, tools.now_ms())

    def _newest(self, slot: int, on_disk: SignedCheckpoint | None) -> SignedCheckpoint | None:
        """The larger of what the file and the database have."""
        kept = self._tools.store.newest(slot)
        if kept is None or (on_disk is not None and on_disk.checkpoint.size >= kept.size):
            return on_disk
        return parse_checkpoint(kept.note)

    def _keep(self, slot: int, signed: SignedCheckpoint) -> None:
        note, size = signed.note.to_bytes(), signed.checkpoint.size
        self._tools.store.save(KeptCheckpoint(slot, size, note, self._tools.now_ms()))

    def _ask(self, log: SlotLog, head: SlotHead, origin: str) -> bool:
        """Asks the witnesses what they know; returns whether enough have answered.

        Raises:
            SimpulError: JOURNAL_RESTORED_OR_FORKED: one has shown it.
        """
        oversight = self._tools.oversight
        needed = answers_needed(len(oversight.witnesses), oversight.quorum)
        if needed == 0:
            return True
        now_ms = self._tools.now_ms()
        due = [
            witness
            for witness in oversight.witnesses
            if self._patience.is_due(witness.key.name, now_ms)
        ]
        with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
            said = list(pool.map(lambda witness: self._latest(witness, origin), due))
        answered = 0
        for witness, (answer, error) in zip(due, said, strict=True):
            if error is not None:
                self._not_answered(witness, error)
                continue
            answered += 1
            self._patience.worked(witness.key.name)
            log.known[witness.key.name] = 0 if answer is None else answer.checkpoint.size
            if answer is not None:
                check_shown(self._tools, head, origin, witness, answer)
        return answered >= needed

    def _latest(
        self, witness: WitnessView, origin: str
    ) -> tuple[SignedCheckpoint | None, SimpulError | None]:
        try:
            return self._tools.witnesses.latest(witness, origin), None
        except SimpulError as error:
            return None, error

    def _not_answered(self, witness: WitnessView, error: SimpulError) -> None:
        name, now_ms = witness.key.name, self._tools.now_ms()
        self._patience.failed(name, now_ms)
        if self._patience.may_tell(name, error.code, now_ms):
            _log.warning(
                "nothing is signed before witnesses have answered", witness=name,
                code=error.code, why=error.message,
            )  # fmt: skip

    @staticmethod
    def _require_origin(newest: Checkpoint, origin: str) -> None:
        if newest.origin != origin:
            raise SimpulError(
                Code.CHECKPOINT_INVALID,
                f"the newest checkpoint here is of {newest.origin}, and the directory says "
                f"{origin}: this home is another node's; give it its own",
            )


def _is_at(checkpoint: Checkpoint, head: SlotHead) -> bool:
    return (checkpoint.size, checkpoint.root) == (head.tree.size, head.tree.root())


def check_shown(
    tools: Tools, head: SlotHead, origin: str, witness: WitnessView, shown: SignedCheckpoint
) -> None:
    """Checks that what a witness shows is a prefix of the journal, where this node signed it.

    Raises:
        SimpulError: JOURNAL_RESTORED_OR_FORKED.
    """
    try:
        with tools.store.tree(head.slot) as tree:
            check_continues(tree, head.tree, shown.checkpoint, f"witness {witness.key.name}")
    except SimpulError as fault:
        if fault.code is not Code.JOURNAL_RESTORED_OR_FORKED:
            raise
        try:
            verify_checkpoint(shown, origin, tools.key().public)
        except SimpulError:
            tools.metrics.alert(Code.WITNESS_REFUSED)
            _log.error(
                "a witness shows a checkpoint of this node that this node's key didn't sign",
                witness=witness.key.name, origin=origin, size=shown.checkpoint.size,
            )  # fmt: skip
        else:
            raise
