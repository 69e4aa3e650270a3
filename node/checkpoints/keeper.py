"""Runs all that concerns checkpoints, on two threads of its own, and says whether calls may begin.

One thread signs, and waits for nobody but, once after a start, the witnesses. The other asks for
cosignatures and stamps, and may wait as long as they take. Neither holds the event loop.

When the workers have stopped, `stop` signs what came last and asks once more for cosignatures.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from node.checkpoints.cosigning import Cosigning
from node.checkpoints.log import Patience, SlotLog, Tools
from node.checkpoints.signing import Signing
from node.checkpoints.stamping import Stamping
from node.journal.checkpoints import SlotHead
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

# After a signature the cosignature follows this soon.
LOOK_EVERY_S: Final = 1.0


class Keeper:
    """See the module's text."""

    def __init__(
        self, tools: Tools, every_s: float, on_refusal: Callable[[SimpulError | None], None]
    ) -> None:
        """Opens; nothing runs yet.

        Args:
            tools: What it works with.
            every_s: How often slots that grew are signed.
            on_refusal: Told, from one of the threads, why no call may begin; None: they may.

        Raises:
            SimpulError: JOURNAL_FAILED.
        """
        self._tools = tools
        self._every_s = every_s
        self._on_refusal = on_refusal
        self._signing = Signing(tools)
        self._cosigning = Cosigning(tools)
        self._stamping = Stamping(tools)
        self._patience = Patience()
        self._logs: dict[int, SlotLog] = {}
        self._lock = threading.Lock()
        self._refusal: SimpulError | None = None
        self._stopping = threading.Event()
        self._threads = (
            threading.Thread(target=self._sign_on, name="checkpoints-sign", daemon=True),
            threading.Thread(target=self._follow_on, name="checkpoints-follow", daemon=True),
        )

    @property
    def refusal(self) -> SimpulError | None:
        """Why no call may begin, if so."""
        return self._refusal

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stops the threads, signs what came last, and has it cosigned where that is quick."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self.sign()
        self.cosign()

    def sign(self) -> None:
        """Signs each slot that grew. A fault in one is logged, and the others go on."""
        for head in self._heads():
            log = self._log_of(head.slot)
            if log.fault is None:
                with self._judging(log):
                    self._signing.sign(log, head)
        self._tell()

    def cosign(self) -> None:
        """Asks for the cosignatures that are missing."""
        for head in self._heads():
            log = self._log_of(head.slot)
            if log.fault is None:
                with self._judging(log):
                    self._cosigning.cosign(log, head)
        self._tell()

    def stamp(self) -> None:
        """Asks for the time stamps that are due."""
        heads = self._heads()
        sound = tuple(head.slot for head in heads if self._log_of(head.slot).fault is None)
        with self._judging():
            self._stamping.stamp(sound)
        self._tell()

    def _sign_on(self) -> None:
        while not self._stopping.is_set():
            self.sign()
            self._stopping.wait(self._every_s if self._all_asked() else LOOK_EVERY_S)

    def _follow_on(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            self.cosign()
            self.stamp()

    def _all_asked(self) -> bool:
        """Whether every slot may be signed; until then the witnesses are asked more often."""
        with self._lock:
            logs = tuple(self._logs.values())
        return len(logs) > 0 and all(log.asked or log.fault is not None for log in logs)

    def _log_of(self, slot: int) -> SlotLog:
        with self._lock:
            return self._logs.setdefault(slot, SlotLog(slot))

    def _heads(self) -> tuple[SlotHead, ...]:
        with self._judging():
            return self._tools.store.heads()
        return ()

    @contextmanager
    def _judging(self, log: SlotLog | None = None) -> Iterator[None]:
        """What goes wrong is told, and the thread goes on; a log may be at fault from then on."""
        where = "journal" if log is None else f"slot {log.slot}"
        try:
            yield
        except SimpulError as error:
            if self._patience.may_tell(where, error.code, self._tools.now_ms()):
                self._tools.metrics.alert(error.code)
                _log.error("checkpoints failed", where=where, code=error.code, why=error.message)
            if log is not None and error.code is Code.JOURNAL_RESTORED_OR_FORKED:
                log.fault = error
        except Exception:  # noqa: BLE001 - logged; the other slots, and the next round, go on
            self._tools.metrics.alert(Code.INTERNAL)
            _log.exception("checkpoints failed", where=where)

    def _tell(self) -> None:
        """Says whether calls may begin, where that has changed."""
        with self._lock:
            faults = [log.fault for _, log in sorted(self._logs.items()) if log.fault is not None]
            refusal = faults[0] if len(faults) > 0 else self._stamping.overdue()
            before, self._refusal = self._refusal, refusal
            changed = (before is None) != (refusal is None) or (
                before is not None and refusal is not None and before.code is not refusal.code
            )
        if changed:
            self._on_refusal(refusal)
