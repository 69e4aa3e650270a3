"""A client in JavaScript for Node.js, with @grpc/grpc-js, which reads the .proto files. Pure."""

from __future__ import annotations

import base64
import json
import math
from typing import Final

from node.catalogue.snippets.called import DEADLINE_S, TOKEN_VARIABLE, Called, tree

# Greater whole numbers JavaScript rounds.
_MAX_SAFE: Final = (1 << 53) - 1


def javascript(called: Called) -> str:
    """The source, as a CommonJS module."""
    package = str(called.file.package)
    place = "".join(
        f"[{_text(part)}]" for part in [*filter(None, package.split(".")), called.service]
    )
    metadata = "".join(
        f"metadata.set({_text(key)}, {_text(value)});\n" for key, value in called.metadata
    )
    credentials = "createSsl" if called.gateway.tls else "createInsecure"
    return f"""\
// simpul catalogue show {called.package} --proto protos
// npm install @grpc/grpc-js @grpc/proto-loader
// {TOKEN_VARIABLE} holds the app's token: simpul app add
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync({_text(called.file.name)}, {{
  includeDirs: ["protos"], keepCase: true, longs: String, enums: String, defaults: true,
}});
const Service = grpc.loadPackageDefinition(definition){place};
const client = new Service({_text(called.gateway.address)}, grpc.credentials.{credentials}());
const metadata = new grpc.Metadata();
metadata.set("simpul-token", process.env.{TOKEN_VARIABLE});
{metadata}const options = {{ deadline: Date.now() + {DEADLINE_S * 1000} }};
const request = {_literal(tree(called.request))};

function failed(error) {{
  console.error(error.message);
  process.exitCode = 1;
  client.close();
}}
{_call(called)}"""


def _call(called: Called) -> str:
    method = f"client[{_text(called.method.name)}]"
    ended = """\
(error, response) => {
  if (error) return failed(error);
  console.log(JSON.stringify(response));
  client.close();
}"""
    sends, receives = called.method.client_streaming, called.method.server_streaming
    heard = """\
call.on("data", (response) => console.log(JSON.stringify(response)));
call.on("end", () => client.close());
call.on("error", failed);
"""
    sent = "call.write(request);\ncall.end();\n"
    # A method's `call` would be Function's own.
    match (sends, receives):
        case (False, False):
            return f"{method}(request, metadata, options, {ended});\n"
        case (False, True):
            return f"const call = {method}(request, metadata, options);\n{heard}"
        case (True, False):
            return f"const call = {method}(metadata, options, {ended});\n{sent}"
        case _:
            return f"const call = {method}(metadata, options);\n{heard}{sent}"


def _text(text: str) -> str:
    return json.dumps(text)


def _literal(value: object) -> str:
    match value:
        case dict():
            inside = ", ".join(
                f"{_text(str(key))}: {_literal(each)}" for key, each in value.items()
            )
            return f"{{ {inside} }}" if inside else "{}"
        case list():
            return f"[{', '.join(map(_literal, value))}]"
        case bytes():
            # What the loader takes for bytes.
            return _text(base64.b64encode(value).decode())
        case bool():
            return "true" if value else "false"
        case int() if abs(value) > _MAX_SAFE:
            return _text(str(value))
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
        case _:
            return json.dumps(value)
