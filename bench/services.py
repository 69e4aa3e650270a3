"""The services that everything calls: cheap, so that they are not what is measured.

`bench.v1.Bench` is nginx serving framed files with gRPC's trailer: unary methods answer as many
bytes as they are asked with, `Stream` answers many messages. It reads requests and drops them.
`bench.v1.Echo` is a small program on grpc.aio whose `Talk` sends each message back.

    python -m bench.services

serves `bench.v1.Echo` and prints `listening on HOST:PORT`.
"""

import asyncio
import random
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop
from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc import aio

from runtime.grpc_options import server_options

BENCH: Final = "bench.v1.Bench"
ECHO: Final = "bench.v1.Echo"
UNARY_BYTES: Final = {"Unary100": 100, "Unary1k": 1024, "Unary64k": 65_536}
STREAM: Final = "Stream"
TALK: Final = "Talk"
STREAM_MESSAGE_BYTES: Final = 16_384
STREAM_MESSAGES: Final = 512

_NGINX: Final = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  types {{ }}
  default_type application/grpc;
  client_body_temp_path {folder}/t1;
  proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4;
  scgi_temp_path {folder}/t5;
  client_max_body_size 0;
  client_body_buffer_size 256k;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  http2_max_concurrent_streams 4096;
  http2_chunk_size 16k;
  open_file_cache max=16;
  server {{
    listen 127.0.0.1:{port} http2 backlog=4096;
    root {folder}/www;
    etag off;
    # Mirroring is what makes nginx read the whole request before it answers. Without it the
    # answer can overtake the request, and nginx then resets the stream.
    location = /read {{ internal; return 204; }}
    # A static file is not for POST, says nginx: so its error is the file.
    location / {{ mirror /read; error_page 405 =200 $uri; add_trailer grpc-status 0; }}
  }}
}}
"""


def frame(message: bytes) -> bytes:
    """A gRPC message as it travels: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(message)) + message


def write_files(folder: Path, port: int) -> Path:
    """Write what nginx serves, what the load sends (`NAME.request`), and nginx's configuration."""
    served = folder / "www" / BENCH
    served.mkdir(parents=True)
    random_bytes = random.Random(8).randbytes
    for name, size in UNARY_BYTES.items():
        (served / name).write_bytes(frame(random_bytes(size)))
        (folder / f"{name}.request").write_bytes(frame(random_bytes(size)))
    many = frame(random_bytes(STREAM_MESSAGE_BYTES)) * STREAM_MESSAGES
    (served / STREAM).write_bytes(many)
    (folder / f"{STREAM}.request").write_bytes(frame(b""))
    (folder / f"{TALK}.request").write_bytes(many)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port), encoding="utf-8")
    return config


def descriptor_set() -> bytes:
    """The contract of both services: every message is one field of bytes."""
    file = FileDescriptorProto(name="bench/v1/bench.proto", package="bench.v1", syntax="proto3")
    blob = file.message_type.add(name="Blob")
    blob.field.add(
        name="data",
        number=1,
        type=FieldDescriptorProto.TYPE_BYTES,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    names = {"input_type": ".bench.v1.Blob", "output_type": ".bench.v1.Blob"}
    bench = file.service.add(name="Bench")
    for name in UNARY_BYTES:
        bench.method.add(name=name, **names)
    bench.method.add(name=STREAM, server_streaming=True, **names)
    echo = file.service.add(name="Echo")
    echo.method.add(name=TALK, client_streaming=True, server_streaming=True, **names)
    return FileDescriptorSet(file=[file]).SerializeToString()


class _Echo(grpc.GenericRpcHandler):
    def service(self, _details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401 - no public base
        return grpc.stream_stream_rpc_method_handler(_talk)


async def _talk(requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def _serve() -> None:
    server = aio.server(options=server_options())
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(_serve())
