"""Links that come in: what the port refuses before a greeting."""

import asyncio
import ssl

import pytest

from tests.support.pair import pair, unary


async def test_tls_1_2_is_refused() -> None:
    async with pair() as two:
        address = two.provider.current.snapshot.directory.node(two.provider.node).link_address
        host, _, port = address.partition(":")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=context)
        # The port lives on, for TLS 1.3.
        assert (await two.consumer.run(unary())).trailers.status == 0
