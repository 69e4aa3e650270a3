"""A register of consents of the agency's own, asked over gRPC (simpul/v1/consent.proto).

Whatever isn't a plain yes is a no: an unknown state, a time that is missing, an answer that doesn't
come. Its own error texts go to the log, never to a consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, NoReturn

import grpc
import structlog

from node.consent import refusals
from node.consent.model import Question
from node.consent.wire import question_message
from security.consent import is_reference
from simpul.v1 import consent_pb2, consent_pb2_grpc

_log = structlog.get_logger(__name__)

# docs/spec, "Agreements: consent": a register says something at least every 300 ms.
SILENCE_S: Final = 1.0

_State = consent_pb2.ConsentState
_REFUSALS: Final = {
    _State.CONSENT_STATE_REFUSED: refusals.unknown,
    _State.CONSENT_STATE_WITHDRAWN: refusals.withdrawn,
    _State.CONSENT_STATE_EXPIRED: refusals.over,
}


class OutsideRegister:
    """A `ConsentVerifier`; it closes the channel that it is given."""

    def __init__(self, channel: grpc.aio.Channel, *, silence_s: float = SILENCE_S) -> None:
        self._channel = channel
        self._stub = consent_pb2_grpc.ConsentVerifierStub(channel)
        self._silence_s = silence_s

    async def check(self, question: Question, now_ms: int) -> int:
        """Until when it holds; raises as `verifier.ConsentVerifier`."""
        try:
            answer = await self._stub.CheckConsent(question_message(question))
        except grpc.aio.AioRpcError as error:
            _unheard(error)
        refusal = _REFUSALS.get(answer.state)
        if refusal is not None:
            raise refusal()
        if answer.state != _State.CONSENT_STATE_GIVEN or answer.valid_until_ms <= 0:
            _log.error("a consent's answer is none", state=int(answer.state))
            raise refusals.unverified("its register gave an answer that is none")
        if answer.valid_until_ms <= now_ms:
            raise refusals.over()
        return answer.valid_until_ms

    async def withdrawals(self) -> AsyncGenerator[frozenset[str]]:
        """What the register tells; raises when it is silent for too long."""
        call = self._stub.WatchConsents(consent_pb2.WatchConsentsRequest())
        try:
            while True:
                async with asyncio.timeout(self._silence_s):
                    said: object = await call.read()
                if not isinstance(said, consent_pb2.WatchConsentsResponse):
                    raise refusals.unverified("its register tells of no withdrawals any more")
                yield frozenset(text for text in said.withdrawn if is_reference(text))
        except TimeoutError:
            raise refusals.unverified(
                f"its register was silent for {self._silence_s:g} s"
            ) from None
        except grpc.aio.AioRpcError as error:
            _unheard(error)
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


def _unheard(error: grpc.aio.AioRpcError) -> NoReturn:
    _log.warning(
        "the register of consents can't be asked", status=error.code().name, why=error.details()
    )
    raise refusals.unverified("its register can't be asked") from None
