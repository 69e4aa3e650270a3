"""A client in Java, with the stubs of grpc-java's plugin. Pure."""

from __future__ import annotations

import json
import re
import shlex
from typing import Final

from google.protobuf.descriptor import FileDescriptor

from node.catalogue.snippets.called import DEADLINE_S, TOKEN_VARIABLE, Called, parts

_PACKAGE: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_][A-Za-z0-9_]*")
_CLASS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS: Final = frozenset(
    """
    abstract assert boolean break byte case catch char class const continue default do double else
    enum extends final finally float for goto if implements import instanceof int interface long
    native new package private protected public return short static strictfp super switch
    synchronized this throw throws transient try void volatile while true false null
    """.split()  # noqa: SIM905  (words are read more easily so)
)


def java(called: Called) -> str:
    """The source of a class with a `main`."""
    kind = ".".join((_class_of(called.method.input_type.file), *parts(called.method.input_type)))
    if _several_files(called.method.input_type.file):
        package = _java_package(called.method.input_type.file)
        kind = ".".join((*([package] if package else []), *parts(called.method.input_type)))
    package = _java_package(called.file)
    stubs = ".".join((*([package] if package else []), f"{called.service}Grpc"))
    credentials = "TlsChannelCredentials" if called.gateway.tls else "InsecureChannelCredentials"
    metadata = "".join(
        f"        metadata.put(key({_text(key)}), {_text(value)});\n"
        for key, value in called.metadata
    )
    return f"""\
// simpul catalogue show {called.package} --proto protos
// protoc -I protos --java_out=src --grpc-java_out=src --plugin=protoc-gen-grpc-java \\
//   {_files(called)}
// On the class path: io.grpc:grpc-netty-shaded, io.grpc:grpc-protobuf, io.grpc:grpc-stub,
// com.google.protobuf:protobuf-java-util
// {TOKEN_VARIABLE} holds the app's token: simpul app add
import com.google.protobuf.util.JsonFormat;
import io.grpc.Grpc;
import io.grpc.{credentials};
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

public final class Client {{
    private static Metadata.Key<String> key(String name) {{
        return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
    }}

    public static void main(String[] arguments) throws Exception {{
        Metadata metadata = new Metadata();
        metadata.put(key("simpul-token"), System.getenv({_text(TOKEN_VARIABLE)}));
{metadata}        ManagedChannel channel =
            Grpc.newChannelBuilder({_text(called.gateway.address)}, {credentials}.create()).build();
        {kind}.Builder request = {kind}.newBuilder();
        JsonFormat.parser().merge({_text(called.request_json)}, request);
{_call(called, stubs)}        channel.shutdown().awaitTermination({DEADLINE_S}, TimeUnit.SECONDS);
    }}
{_observer(called)}}}
"""


def java_name(name: str) -> str:
    """A method's name as grpc-java's plugin writes it."""
    first, *rest = re.split("_", name)
    made = first[:1].lower() + first[1:] + "".join(each[:1].upper() + each[1:] for each in rest)
    return f"{made}_" if made in _WORDS else made


def _call(called: Called, stubs: str) -> str:
    method = java_name(called.method.name)
    stub = (
        f".withDeadlineAfter({DEADLINE_S}, TimeUnit.SECONDS)\n"
        "            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata));\n"
    )
    blocking = f"        var stub = {stubs}.newBlockingStub(channel){stub}"
    if not called.method.client_streaming:
        asked = f"stub.{method}(request.build())"
        if called.method.server_streaming:
            return f"{blocking}        {asked}.forEachRemaining(System.out::println);\n"
        return f"{blocking}        System.out.println({asked});\n"
    return (
        f"        var stub = {stubs}.newStub(channel){stub}"
        "        CountDownLatch ended = new CountDownLatch(1);\n"
        f"        var requests = stub.{method}(printing(ended));\n"
        "        requests.onNext(request.build());\n"
        "        requests.onCompleted();\n"
        "        ended.await();\n"
    )


def _observer(called: Called) -> str:
    if not called.method.client_streaming:
        return ""
    return """
    private static <T> StreamObserver<T> printing(CountDownLatch ended) {
        return new StreamObserver<T>() {
            @Override public void onNext(T response) { System.out.println(response); }
            @Override public void onError(Throwable error) {
                System.err.println(error.getMessage());
                ended.countDown();
            }
            @Override public void onCompleted() { ended.countDown(); }
        };
    }
"""


def _java_package(file: FileDescriptor) -> str:
    """Where protoc puts a file's classes. An option that is no package is not repeated."""
    said = str(file.GetOptions().java_package)
    return said if _PACKAGE.fullmatch(said) else str(file.package)


def _several_files(file: FileDescriptor) -> bool:
    return bool(file.GetOptions().java_multiple_files)


def _class_of(file: FileDescriptor) -> str:
    """The class around a file's messages, with its package."""
    package, outer = _java_package(file), str(file.GetOptions().java_outer_classname)
    if not _CLASS.fullmatch(outer):
        base = str(file.name).rpartition("/")[2].removesuffix(".proto")
        outer = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]", base))
        taken = {*file.message_types_by_name, *file.enum_types_by_name, *file.services_by_name}
        if outer in taken:
            outer += "OuterClass"
    return f"{package}.{outer}" if package else outer


def _files(called: Called) -> str:
    return " ".join(map(shlex.quote, called.files))


def _text(text: str) -> str:
    # A backslash before `u` would be read before all else; here it always has another before it.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\177")
