"""A client in Go, with the stubs of protoc-gen-go and protoc-gen-go-grpc. Pure.

Which Go package a file becomes is said to protoc by the folder that it lies in, whatever the
contract's own options say: they are for its author's module.
"""

from __future__ import annotations

import json
import shlex
from typing import Final

from google.protobuf.descriptor import FileDescriptor

from node.catalogue.snippets.called import DEADLINE_S, TOKEN_VARIABLE, Called, parts

MODULE: Final = "example.com/client"
# Where protobuf's own types are, by their files.
_WELL_KNOWN: Final = "google.golang.org/protobuf/types/known/"


def golang(called: Called) -> str:
    """The source of a program."""
    streams = called.method.client_streaming or called.method.server_streaming
    own, other = _package(called.file), _package(called.method.input_type.file)
    ours = [f"\tpb {_text(own)}"]
    alias = "pb"
    if other != own:
        alias = "types"
        ours.append(f"\ttypes {_text(other)}")
    credentials, transport = _credentials(called)
    standard = sorted(["context", "fmt", *(["io"] if streams else []), "log", "os", "time"])
    libraries = sorted(
        [
            "google.golang.org/grpc", transport, "google.golang.org/grpc/metadata",
            "google.golang.org/protobuf/encoding/protojson",
        ]
    )  # fmt: skip
    pairs = "".join(f", {_text(key)}, {_text(value)}" for key, value in called.metadata)
    lines = "\n".join
    return f"""\
// simpul catalogue show {called.package} --proto protos
// go mod init {MODULE}
// go install google.golang.org/protobuf/cmd/protoc-gen-go@latest
// go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@latest
// protoc -I protos --go_out=. --go-grpc_out=. {_options(called)} {_files(called)}
// go mod tidy && go run .
// {TOKEN_VARIABLE} holds the app's token: simpul app add
package main

import (
{lines(f"{chr(9)}{_text(name)}" for name in standard)}

{lines(f"{chr(9)}{_text(name)}" for name in libraries)}

{lines(ours)}
)

func main() {{
	transport := grpc.WithTransportCredentials({credentials})
	connection, err := grpc.NewClient({_text(called.gateway.address)}, transport)
	if err != nil {{
		log.Fatal(err)
	}}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), {DEADLINE_S}*time.Second)
	defer cancel()
	token := os.Getenv({_text(TOKEN_VARIABLE)})
	ctx = metadata.AppendToOutgoingContext(ctx, "simpul-token", token{pairs})
	request := &{alias}.{go_name("_".join(parts(called.method.input_type)))}{{}}
	if err := protojson.Unmarshal([]byte({_text(called.request_json)}), request); err != nil {{
		log.Fatal(err)
	}}
	client := pb.New{go_name(called.service)}Client(connection)
{_call(called)}}}
"""


def go_name(name: str) -> str:
    """A name as protoc-gen-go writes it: `_` before a small letter goes, and raises it."""
    made: list[str] = []
    before = ""
    for at, letter in enumerate(name):
        after = name[at + 1 : at + 2]
        if letter == "_" and (at == 0 or _small(after)):
            # At the beginning an X stands for it, so that the name is exported.
            made.append("X" if at == 0 else "")
        elif _small(letter) and (at == 0 or before == "_" or before.isdigit()):
            made.append(letter.upper())
        else:
            made.append(letter)
        before = letter
    return "".join(made)


def _small(letter: str) -> bool:
    return "a" <= letter <= "z"


def _call(called: Called) -> str:
    method = go_name(called.method.name)
    failed = "\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n"
    heard = """\
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(response)
	}
"""
    sent = (
        "\tif err := stream.Send(request); err != nil && err != io.EOF {\n\t\tlog.Fatal(err)\n\t}\n"
    )
    match (called.method.client_streaming, called.method.server_streaming):
        case (False, False):
            return (
                f"\tresponse, err := client.{method}(ctx, request)\n{failed}"
                "\tfmt.Println(response)\n"
            )
        case (False, True):
            return f"\tstream, err := client.{method}(ctx, request)\n{failed}{heard}"
        case (True, False):
            return (
                f"\tstream, err := client.{method}(ctx)\n{failed}{sent}"
                f"\tresponse, err := stream.CloseAndRecv()\n{failed}\tfmt.Println(response)\n"
            )
        case _:
            ended = "\tif err := stream.CloseSend(); err != nil {\n\t\tlog.Fatal(err)\n\t}\n"
            return f"\tstream, err := client.{method}(ctx)\n{failed}{sent}{ended}{heard}"


def _credentials(called: Called) -> tuple[str, str]:
    if called.gateway.tls:
        return 'credentials.NewClientTLSFromCert(nil, "")', "google.golang.org/grpc/credentials"
    return "insecure.NewCredentials()", "google.golang.org/grpc/credentials/insecure"


def _package(file: FileDescriptor) -> str:
    name = str(file.name)
    if name.startswith("google/protobuf/"):
        kind = name.removeprefix("google/protobuf/").removesuffix(".proto").replace("_", "")
        return f"{_WELL_KNOWN}{kind}pb"
    return _folder(name)


def _folder(name: str) -> str:
    folder = name.rpartition("/")[0]
    return f"{MODULE}/{folder or 'contract'}"


def _options(called: Called) -> str:
    """For both plugins: which package each file becomes."""
    said = [f"module={MODULE}", *(f"M{name}={_folder(name)}" for name in called.files)]
    return " ".join(
        shlex.quote(f"--{plugin}_opt={each}") for each in said for plugin in ("go", "go-grpc")
    )


def _files(called: Called) -> str:
    return " ".join(map(shlex.quote, called.files))


def _text(text: str) -> str:
    # Go knows these escapes, and no halves of a character: so other letters stand as they are.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
