"""A contract's descriptors, and JSON by them."""

import contextlib
import json
from typing import Any

import pytest
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from cli.dynamic import Contract, parse_values
from security.errors import Code, SimpulError
from tests.unit.cli.fakes import PROTOSET

Field = descriptor_pb2.FieldDescriptorProto
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def contract_set() -> descriptor_pb2.FileDescriptorSet:
    """`t.v1.T`, with a map, a oneof, an enum and well-known types; its imports come last."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t.v1", syntax="proto3")
    known: dict[str, type[Message]] = {
        "at": timestamp_pb2.Timestamp,
        "took": duration_pb2.Duration,
        "more": struct_pb2.Struct,
        "maybe": wrappers_pb2.BoolValue,
        "any": any_pb2.Any,
    }
    message = file.message_type.add(name="M")
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="big", number=1, type=Field.TYPE_INT64, label=Field.LABEL_OPTIONAL)
    inner.field.add(name="raw", number=2, type=Field.TYPE_BYTES, label=Field.LABEL_OPTIONAL)
    entry = message.nested_type.add(name="ByNameEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=Field.TYPE_MESSAGE, type_name=".t.v1.Inner", label=1
    )
    message.field.add(
        name="by_name", number=1, type=Field.TYPE_MESSAGE, type_name=".t.v1.M.ByNameEntry", label=3
    )
    message.field.add(
        name="list", number=2, type=Field.TYPE_MESSAGE, type_name=".t.v1.Inner", label=3
    )
    for number, (name, kind) in enumerate(known.items(), start=3):
        full = f".{kind.DESCRIPTOR.full_name}"
        message.field.add(
            name=name, number=number, type=Field.TYPE_MESSAGE, type_name=full, label=1
        )
        file.dependency.append(kind.DESCRIPTOR.file.name)
    service = file.service.add(name="T")
    service.method.add(name="Do", input_type=".t.v1.M", output_type=".t.v1.M")
    found = descriptor_pb2.FileDescriptorSet(file=[file])
    for kind in known.values():
        kind.DESCRIPTOR.file.CopyToProto(found.file.add())
    return found


@pytest.fixture
def contract() -> Contract:
    return Contract(contract_set().SerializeToString(), "t.v1.T")


def again(contract: Contract, value: object) -> Any:
    """There and back."""
    message = contract.method("Do").request
    return contract.decode(message, contract.encode(message, value))


def refused(contract: Contract, value: object) -> str:
    with pytest.raises(SimpulError) as caught:
        contract.encode(contract.method("Do").request, value)
    assert caught.value.code is Code.REQUEST_MALFORMED
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_methods_kinds_come_from_the_contract() -> None:
    wisata = Contract(PROTOSET.read_bytes(), "wisata.v1.Wisata")
    kinds = {
        name: (wisata.method(name).client_streaming, wisata.method(name).server_streaming)
        for name in ("Get", "List", "Import", "Chat")
    }
    assert kinds == {
        "Get": (False, False),
        "List": (False, True),
        "Import": (True, False),
        "Chat": (True, True),
    }


def test_imports_may_come_in_any_order(contract: Contract) -> None:
    assert contract.method("Do").request.full_name == "t.v1.M"


def test_there_and_back(contract: Contract) -> None:
    value = {
        "by_name": {"a": {"big": "9007199254740993", "raw": "AQI="}},
        "list": [{"big": "1", "raw": ""}],
        "at": "2026-01-01T00:00:00Z",
        "took": "1.500s",
        "more": {"free": ["form", 1.0, None]},
        "maybe": True,
        "any": {"@type": "type.googleapis.com/t.v1.Inner", "big": "5", "raw": ""},
    }
    assert again(contract, value) == value


def test_both_spellings_of_a_field_are_taken_and_the_contracts_is_printed(
    contract: Contract,
) -> None:
    assert again(contract, {"byName": {"a": {}}})["by_name"] == {"a": {"big": "0", "raw": ""}}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"bi_name": {}}, "no field bi_name; did you mean by_name?"),
        ({"by_name": {"a": {"bigg": 1}}}, "no field by_name.a.bigg; did you mean big?"),
        ({"list": [{}, {"qqq": 1}]}, "no field list.qqq; it has: big, raw"),
        ({"list": [{"big": "x"}]}, "no t.v1.M"),
        ({"list": 1}, "no t.v1.M"),
        ({"at": "yesterday"}, "no t.v1.M"),
        ({"list": [{"raw": "a"}]}, "no t.v1.M"),
        ([], "not as a list"),
        (None, "not as null"),
        (1, "not as a number"),
        (True, "not as true or false"),
    ],
)
def test_what_does_not_fit(contract: Contract, value: object, told: str) -> None:
    assert told in refused(contract, value)


@given(value=JSON)
def test_any_json_is_taken_or_refused(value: object) -> None:
    contract = Contract(contract_set().SerializeToString(), "t.v1.T")
    message = contract.method("Do").request
    with contextlib.suppress(SimpulError):
        contract.decode(message, contract.encode(message, value))


def test_a_method_that_is_not_there(contract: Contract) -> None:
    with pytest.raises(SimpulError, match=r"no method Dp; did you mean Do\? It has: Do") as caught:
        contract.method("Dp")
    assert caught.value.code is Code.METHOD_UNKNOWN


def without_an_import() -> bytes:
    found = contract_set()
    del found.file[1]
    return found.SerializeToString()


def in_a_circle() -> bytes:
    files = [descriptor_pb2.FileDescriptorProto(name=a, dependency=[b]) for a, b in ("ab", "ba")]
    return descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff", Code.PROTOSET_INVALID),
        (without_an_import(), Code.PROTOSET_INVALID),
        (in_a_circle(), Code.PROTOSET_INVALID),
        (b"", Code.PROTOSET_LACKS_SERVICE),
    ],
)
def test_a_contract_that_is_none(data: bytes, code: Code) -> None:
    with pytest.raises(SimpulError) as caught:
        Contract(data, "t.v1.T")
    assert caught.value.code is code


@given(values=st.lists(JSON), space=st.sampled_from([" ", "\n", "\r\n", "\t "]))
def test_values_are_read_one_after_the_other(values: list[object], space: str) -> None:
    assert list(parse_values(space.join(json.dumps(value) for value in values))) == values


@given(text=st.text())
def test_any_text_is_json_or_refused(text: str) -> None:
    with contextlib.suppress(SimpulError):
        list(parse_values(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1}\n{"b" 1}', "line 2, column 6"),
    ],
)
def test_texts_that_are_refused(text: str, told: str) -> None:
    with pytest.raises(SimpulError, match=told):
        list(parse_values(text))
