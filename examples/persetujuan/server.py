"""simpul.v1.ConsentVerifier over a file: `python -m examples.persetujuan.server --consents FILE`.

An ordinary gRPC server. A node whose `consent.verifier` names it asks before each call for a
purpose that rests on consent, and listens for withdrawals: mark one in the file, and calls that run
by it end within a second.

The file is read at each question and a few times a second. Where it can't be read nothing is
affirmed, and the watch ends: to a node, that is a no.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import grpc

from examples.gen.simpul.v1 import consent_pb2 as pb
from examples.gen.simpul.v1 import consent_pb2_grpc as pb_grpc
from examples.persetujuan.register import (
    Consents,
    Use,
    Verdict,
    judge,
    read_consents,
    withdrawn_since,
)
from examples.serving import Context, run

# The proto asks for a message at least every 300 ms.
LOOK_S: Final = 0.1
_STATES: Final = {
    Verdict.GIVEN: pb.CONSENT_STATE_GIVEN,
    Verdict.REFUSED: pb.CONSENT_STATE_REFUSED,
    Verdict.WITHDRAWN: pb.CONSENT_STATE_WITHDRAWN,
    Verdict.EXPIRED: pb.CONSENT_STATE_EXPIRED,
}


class Register(pb_grpc.ConsentVerifierServicer):
    """The service over one file."""

    def __init__(self, file: Path) -> None:
        """Serve what `file` says at each moment."""
        self._file = file

    async def CheckConsent(  # noqa: N802 - the contract's name
        self, request: pb.CheckConsentRequest, context: Context
    ) -> pb.CheckConsentResponse:
        """Say whether one use is consented to."""
        use = Use(
            request.reference, request.subject, request.consumer, request.provider,
            request.service, request.purpose,
        )  # fmt: skip
        now_ms = time.time_ns() // 1_000_000
        verdict, until_ms = judge(await self._read(context), use, now_ms)
        return pb.CheckConsentResponse(state=_STATES[verdict], valid_until_ms=until_ms)

    async def WatchConsents(  # noqa: N802 - the contract's name
        self, request: pb.WatchConsentsRequest, context: Context
    ) -> AsyncIterator[pb.WatchConsentsResponse]:
        """Tell what is withdrawn from now on; an empty message says that it still looks."""
        del request
        before = await self._read(context)
        yield pb.WatchConsentsResponse()
        while True:
            await asyncio.sleep(LOOK_S)
            now = await self._read(context)
            yield pb.WatchConsentsResponse(withdrawn=withdrawn_since(before, now))
            before = now

    async def _read(self, context: Context) -> Consents:
        try:
            return await asyncio.to_thread(read_consents, self._file)
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.stderr.write(f"{self._file} can't be read: {type(error).__name__}\n")
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the register can't be read")
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.persetujuan.server")
    parser.add_argument("--consents", required=True, type=Path, metavar="FILE", help="JSON")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="ADDR", help="or unix:PATH")
    said = parser.parse_args(arguments)

    def add(server: grpc.aio.Server) -> None:
        pb_grpc.add_ConsentVerifierServicer_to_server(Register(said.consents), server)

    return run(said.listen, add)


if __name__ == "__main__":
    sys.exit(main())
