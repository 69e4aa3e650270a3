"""Has the newest checkpoint of each slot cosigned by every witness of the policy.

A witness that is down is left alone for a while, and its cosignature comes later. A witness that
refuses because the log doesn't continue what it knows is asked for what it knows: where this node
signed that, the journal isn't the right one.

Source: c2sp.org/tlog-witness, "add-checkpoint".
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus

import structlog

from node.checkpoints.log import Patience, SlotLog, Tools
from node.checkpoints.signing import MAX_AT_ONCE, check_shown
from node.journal.checkpoints import KeptCheckpoint, SlotHead
from security.checkpoint import SignedCheckpoint, parse_checkpoint
from security.cosignature import Cosignature, quorum_time_ms, verified_cosignatures
from security.errors import Code, SimpulError
from security.note import Note
from security.oversight import Oversight, WitnessView
from security.tiles import consistency_path
from security.witness import AddCheckpoint, WitnessRefusal

_log = structlog.get_logger(__name__)


class Cosigning:
    """See the module's text. For one thread."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._patience = Patience()

    def cosign(self, log: SlotLog, head: SlotHead) -> None:
        """Asks for the cosignatures that a slot's newest checkpoint lacks.

        Raises:
            SimpulError: JOURNAL_RESTORED_OR_FORKED, and those of the journal.
        """
        oversight = self._tools.oversight
        kept = self._tools.store.newest(head.slot)
        if kept is None or not log.asked:
            return
        signed = parse_checkpoint(kept.note)
        keys = [witness.key for witness in oversight.witnesses]
        there = {item.witness for item in verified_cosignatures(signed.note, keys)}
        now_ms = self._tools.now_ms()
        missing = [
            witness
            for witness in oversight.witnesses
            if witness.key not in there and self._patience.is_due(witness.key.name, now_ms)
        ]
        if len(missing) == 0:
            return
        with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
            said = list(pool.map(lambda witness: self._asked(log, witness, signed), missing))
        new: list[Cosignature] = []
        for witness, answer in zip(missing, said, strict=True):
            if isinstance(answer, Cosignature):
                self._patience.worked(witness.key.name)
                self._tools.metrics.answered(witness.key.name, now_ms)
                log.known[witness.key.name] = kept.size
                new.append(answer)
        self._keep(kept, signed, new, oversight)
        for witness, answer in zip(missing, said, strict=True):
            if isinstance(answer, SimpulError):
                self._refused(log, head, witness, answer)

    def _asked(
        self, log: SlotLog, witness: WitnessView, signed: SignedCheckpoint
    ) -> Cosignature | SimpulError:
        size = signed.checkpoint.size
        try:
            try:
                return self._add(log, log.known.get(witness.key.name, 0), witness, signed)
            except WitnessRefusal as refusal:
                if refusal.known_size is None or refusal.known_size > size:
                    raise
                # It stands elsewhere than was thought: from there, once.
                return self._add(log, refusal.known_size, witness, signed)
        except SimpulError as error:
            return error

    def _add(
        self, log: SlotLog, old: int, witness: WitnessView, signed: SignedCheckpoint
    ) -> Cosignature:
        with self._tools.store.tree(log.slot) as tree:
            proof = consistency_path(tree, min(old, signed.checkpoint.size), signed.checkpoint.size)
        # The log's own line alone: others' are nothing to this witness.
        own = tuple(
            item for item in signed.note.signatures if item.name == signed.checkpoint.origin
        )
        bare = SignedCheckpoint(signed.checkpoint, replace(signed.note, signatures=own))
        return self._tools.witnesses.add(witness, AddCheckpoint(old, proof, bare))

    def _keep(
        self,
        kept: KeptCheckpoint,
        signed: SignedCheckpoint,
        new: Sequence[Cosignature],
        oversight: Oversight,
    ) -> None:
        if len(new) == 0:
            return
        note = signed.note.with_signatures([item.line for item in new])
        quorum = _quorum_ms(note, oversight) if kept.quorum_at_ms is None else kept.quorum_at_ms
        self._tools.store.save(replace(kept, note=note.to_bytes(), quorum_at_ms=quorum))
        if quorum is not None:
            self._tools.metrics.cosigned(kept.slot, quorum)

    def _refused(
        self, log: SlotLog, head: SlotHead, witness: WitnessView, error: SimpulError
    ) -> None:
        name, now_ms = witness.key.name, self._tools.now_ms()
        self._patience.failed(name, now_ms)
        is_fork = isinstance(error, WitnessRefusal) and error.status in {
            HTTPStatus.CONFLICT,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        }
        if self._patience.may_tell(name, error.code, now_ms) or is_fork:
            say = _log.error if error.code is Code.WITNESS_REFUSED else _log.warning
            say("not cosigned", witness=name, slot=log.slot, code=error.code, why=error.message)
        if error.code is Code.WITNESS_REFUSED:
            self._tools.metrics.alert(error.code)
        if is_fork:
            self._look(head, witness)

    def _look(self, head: SlotHead, witness: WitnessView) -> None:
        """Has a witness show what it cosigned, where it says that this log has another history.

        Raises:
            SimpulError: JOURNAL_RESTORED_OR_FORKED.
        """
        origin = self._tools.origin(head.slot)
        try:
            shown = self._tools.witnesses.latest(witness, origin)
        except SimpulError as error:
            _log.error("a witness doesn't show why", witness=witness.key.name, why=error.message)
            return
        if shown is not None:
            check_shown(self._tools, head, origin, witness, shown)


def _quorum_ms(note: Note, oversight: Oversight) -> int | None:
    """By when the quorum had cosigned; None where it hasn't yet."""
    found = verified_cosignatures(note, [witness.key for witness in oversight.witnesses])
    return quorum_time_ms(found, oversight.quorum) if len(found) >= oversight.quorum else None
