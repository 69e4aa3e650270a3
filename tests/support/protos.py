"""Contracts as texts of .proto, compiled: what tests of contracts change a word of."""

import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Final

ISLANDS: Final = """\
// What islands there are.
syntax = "proto3";
package wisata.v1;

// Tells of islands.
service Wisata {
  // One island.
  rpc Get(GetRequest) returns (Island);
}
// Which island.
message GetRequest {
  // As on the map.
  string name = 1;
}
// An island.
message Island {
  // As on the map.
  string name = 1;
  // In square metres.
  int64 area = 2;
}
"""


@lru_cache(maxsize=64)
def compiled(text: str = ISLANDS, *, comments: bool = True, name: str = "wisata.proto") -> bytes:
    """The FileDescriptorSet of one file, by protoc."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / name, Path(folder) / "out.protoset"
        source.write_text(text)
        command = [
            sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={folder}",
            "--include_imports", f"--descriptor_set_out={out}", str(source),
            *(["--include_source_info"] if comments else []),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        return out.read_bytes()
