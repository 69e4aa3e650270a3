"""Descriptor sets: what they define, and which are none."""

from collections.abc import Callable

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st

from security import contract
from security.contract import MethodKind, check_contract, check_sound, parse_descriptor_set
from security.errors import Code, SimpulError
from tests.conformance import fixed
from tests.support.directories import descriptor_set

Change = Callable[[FileDescriptorSet], object]


def changed(change: Change) -> bytes:
    files = FileDescriptorSet.FromString(descriptor_set())
    change(files)
    return files.SerializeToString()


UNREADABLE: dict[str, bytes] = {
    "no message": b"\xff",
    "no file": b"",
    "one file twice": descriptor_set() * 2,
    "an import that's missing": changed(lambda f: f.file[0].dependency.append("x.proto")),
    "a service with a bad name": changed(lambda f: setattr(f.file[0].service[0], "name", "a-b")),
    "a service without a package": changed(lambda f: f.file[0].ClearField("package")),
    "a method with a bad name": changed(
        lambda f: setattr(f.file[0].service[0].method[0], "name", "")
    ),
    "a method whose name is no text": descriptor_set().replace(b"Watch", b"W\xfftch"),
    "a service whose name is no text": descriptor_set().replace(b"\x06Wisata", b"\x06Wi\xffata"),
    "an import that is no text": changed(lambda f: f.file[0].dependency.append("x")).replace(
        b"\x1a\x01x", b"\x1a\x01\xff"
    ),
    "a method twice": changed(
        lambda f: f.file[0].service[0].method.append(f.file[0].service[0].method[0])
    ),
    "a service twice": changed(lambda f: f.file[0].service.append(f.file[0].service[0])),
    "too long": b"\x0a" * (contract.MAX_DESCRIPTOR_SET_BYTES + 1),
}
UNSOUND: dict[str, bytes] = {
    "a type that isn't defined": changed(lambda f: f.file[0].ClearField("message_type")),
    "an import of itself": changed(lambda f: f.file[0].dependency.append("wisata.proto")),
}


def test_methods_have_their_kinds() -> None:
    methods = parse_descriptor_set(descriptor_set()).of(fixed.SERVICE)
    assert methods == {
        "Get": MethodKind(client_streaming=False, server_streaming=False),
        "List": MethodKind(client_streaming=False, server_streaming=True),
        "Import": MethodKind(client_streaming=True, server_streaming=False),
        "Watch": MethodKind(client_streaming=True, server_streaming=True),
    }
    assert check_contract(descriptor_set(), fixed.SERVICE) == methods


def test_imports_may_stand_in_any_order() -> None:
    data = changed(lambda f: f.file[0].dependency.append("z.proto"))
    data += FileDescriptorSet(file=[{"name": "z.proto"}]).SerializeToString()  # type: ignore[list-item]
    assert "Get" in check_contract(data, fixed.SERVICE)


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_descriptor_set_is_refused(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_descriptor_set(data)
    assert caught.value.code is Code.PROTOSET_INVALID


@pytest.mark.parametrize("data", UNSOUND.values(), ids=UNSOUND)
def test_what_isnt_sound_cant_be_published(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        check_contract(data, fixed.SERVICE)
    assert caught.value.code is Code.PROTOSET_INVALID


@pytest.mark.parametrize(
    "data", [descriptor_set(), changed(lambda f: f.file[0].service[0].ClearField("method"))]
)
def test_a_service_that_isnt_there_or_has_no_method_is_refused(data: bytes) -> None:
    service = fixed.SERVICE if len(data) < len(descriptor_set()) else "bandara.v1.Bandara"
    with pytest.raises(SimpulError, match=r"wisata\.v1\.Wisata") as caught:
        parse_descriptor_set(data).of(service)
    assert caught.value.code is Code.PROTOSET_LACKS_SERVICE


@given(st.binary(max_size=80))
def test_whatever_comes_it_is_parsed_or_refused(data: bytes) -> None:
    try:
        methods = parse_descriptor_set(data)
    except SimpulError:
        return
    assert all("." in name for name in methods.services)


def test_texts_are_utf_8_and_reserved_names_are_names() -> None:
    file = FileDescriptorProto(name="a.proto", package="a.v1", syntax="proto3")
    file.source_code_info.location.add(path=[12], leading_comments="caf@")
    message = file.message_type.add(name="A")
    message.reserved_name.append("x;")
    good = FileDescriptorSet(file=[file]).SerializeToString()
    with pytest.raises(SimpulError, match="reserves what is no name"):
        check_sound(good)
    message.ClearField("reserved_name")
    file.service.add(name="S").method.add(name="M", input_type=".a.v1.A", output_type=".a.v1.A")
    good = FileDescriptorSet(file=[file]).SerializeToString()
    check_sound(good)
    check_contract(good, "a.v1.S")
    for check in (check_sound, lambda data: check_contract(data, "a.v1.S")):
        with pytest.raises(SimpulError, match="isn't UTF-8"):
            check(good.replace(b"caf@", b"caf\xe9"))
