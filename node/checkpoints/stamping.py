"""Has the newest checkpoint of each slot time-stamped, as often as the policy says.

Authorities are asked in the policy's order, until one answers. When none does, that moment is kept
on the disk, and it's a warning; past the policy's limit it's an error, and the node refuses new
calls where the federation says so. A restart changes nothing of it.

Source: docs/spec, "Journal: time".
"""

import structlog

from node.checkpoints.log import Patience, Tools
from node.checkpoints.rules import overdue
from node.journal.checkpoints import KeptCheckpoint, KeptTimestamp
from security.checkpoint import parse_checkpoint
from security.errors import Code, SimpulError
from security.oversight import AuthorityView, TimePolicyView

_log = structlog.get_logger(__name__)


class Stamping:
    """See the module's text. For one thread."""

    def __init__(self, tools: Tools) -> None:
        """Raises SimpulError JOURNAL_FAILED."""
        self._tools = tools
        self._patience = Patience()
        self._failing_ms = tools.latest.stamps_failing_since()
        tools.metrics.stamps_failing(self._failing_ms)

    def stamp(self, slots: tuple[int, ...]) -> None:
        """Stamps the slots that are due.

        Raises:
            SimpulError: those of the journal and the file.
        """
        policy = self._tools.oversight.time
        if policy is None:
            self._note_failing(None)
            return
        failed = False
        for slot in slots:
            due = self._due(slot, policy)
            if due is None:
                continue
            stamp = self._ask(policy, parse_checkpoint(due.note).note.text)
            if stamp is None:
                failed = True
                # The others would fare no better now.
                break
            self._tools.store.save_timestamp(slot, due.size, stamp)
            self._tools.metrics.stamped(slot, stamp.stamped_at_ms)
        if not failed:
            self._note_failing(None)
        elif self._failing_ms is None:
            self._note_failing(self._tools.now_ms())

    def overdue(self) -> SimpulError | None:
        """Returns why new calls are refused, where the federation says so; None otherwise."""
        policy = self._tools.oversight.time
        now_ms = self._tools.now_ms()
        error = overdue(policy, self._failing_ms, now_ms)
        if error is None or policy is None:
            return None
        if self._patience.may_tell("", error.code, now_ms):
            self._tools.metrics.alert(error.code)
            _log.error("time stamps are overdue", refuses=policy.refuses, why=error.message)
        return error if policy.refuses else None

    def _due(self, slot: int, policy: TimePolicyView) -> KeptCheckpoint | None:
        newest = self._tools.store.newest(slot)
        if newest is None or len(newest.timestamps) > 0:
            return None
        before = self._tools.store.newest_stamped(slot)
        if before is not None:
            stamped_ms = max(item.stamped_at_ms for item in before.timestamps)
            if self._tools.now_ms() - stamped_ms < policy.every_ms:
                return None
        return newest

    def _ask(self, policy: TimePolicyView, text: str) -> KeptTimestamp | None:
        for authority in policy.authorities:
            if not self._patience.is_due(authority.name, self._tools.now_ms()):
                continue
            try:
                stamp = self._tools.authorities.stamp(authority, text)
            except SimpulError as error:
                self._failed(authority, error)
                continue
            self._patience.worked(authority.name)
            return stamp
        return None

    def _failed(self, authority: AuthorityView, error: SimpulError) -> None:
        now_ms = self._tools.now_ms()
        self._patience.failed(authority.name, now_ms)
        self._tools.metrics.not_stamped(authority.name)
        if error.code is Code.TIMESTAMP_INVALID:
            self._tools.metrics.alert(error.code)
        if self._patience.may_tell(authority.name, error.code, now_ms):
            _log.warning(
                "not stamped", authority=authority.name, code=error.code, why=error.message
            )

    def _note_failing(self, since_ms: int | None) -> None:
        if since_ms != self._failing_ms:
            self._tools.latest.set_stamps_failing(since_ms)
            self._failing_ms = since_ms
            self._tools.metrics.stamps_failing(since_ms)
