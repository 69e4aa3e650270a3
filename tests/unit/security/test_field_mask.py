"""What passes a mask is what is named, byte for byte, and nothing else ever does."""

from typing import Any, Final

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.text_format import Parse
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.field_mask import MAX_DEPTH, MAX_PATHS, compile_mask
from tests.unit.security.mask_contract import ANSWER, Answer, answer, told

ISLAND: Final = 'nama: "Komodo" luas: 390.5 kind: KIND_A foto: "jpeg" anak { nama: "Rinca" }'
ANYTHING: Final = 'type_url: "type.googleapis.com/x.Y" value: "secret"'


def masked(text: str, *paths: str) -> str:
    return told(compile_mask(ANSWER, paths).apply(answer(text)))


@pytest.mark.parametrize(
    ("paths", "given", "passes"),
    [
        (("jumlah",), "jumlah: 7 biner: 'x'", "jumlah: 7"),
        (("pulau.nama",), f"pulau {{ {ISLAND} }} jumlah: 7", 'pulau { nama: "Komodo" }'),
        (("pulau.nama", "pulau.luas"), f"pulau {{ {ISLAND} }}",
         'pulau { nama: "Komodo" luas: 390.5 }'),
        (("pulau.anak.nama",), f"pulau {{ {ISLAND} }}", 'pulau { anak { nama: "Rinca" } }'),
        (("semua.nama",), f"semua {{ {ISLAND} }} semua {{ nama: 'Padar' luas: 1 }}",
         'semua { nama: "Komodo" } semua { nama: "Padar" }'),
        (("per_kode.luas",), f"per_kode {{ key: '53.15' value {{ {ISLAND} }} }}",
         'per_kode { key: "53.15" value { luas: 390.5 } }'),
        (("label",), "label { key: 'a' value: 'b' } jumlah: 1", 'label { key: "a" value: "b" }'),
        (("angka",), "angka: 1 angka: -2 angka: 3", "angka: 1 angka: -2 angka: 3"),
        (("teks",), "nomor: 5", ""),
        (("teks", "nomor"), "nomor: 5", "nomor: 5"),
        # A message as a whole: all of the contract's fields, at any depth ...
        (("pulau",), "pulau { nama: 'a' anak { luas: 2 anak { nama: 'b' } } }",
         'pulau { nama: "a" anak { luas: 2.0 anak { nama: "b" } } }'),
        # ... but for what can hold anything.
        (("pulau",), f"pulau {{ nama: 'a' foto: 'x' lain {{ {ANYTHING} }} }}",
         'pulau { nama: "a" }'),
        (("semua",), f"semua {{ anak {{ luas: 1 foto: 'x' lain {{ {ANYTHING} }} }} }}",
         "semua { anak { luas: 1.0 } }"),
        (("pulau", "pulau.foto"), "pulau { nama: 'a' foto: 'x' }", 'pulau { nama: "a" }'),
        (("pulau.foto",), "pulau { nama: 'a' foto: 'x' }", 'pulau { foto: "x" }'),
        (("biner",), "biner: 'x' jumlah: 1", 'biner: "x"'),
        (("apa",), f"apa {{ {ANYTHING} }} jumlah: 1",
         'apa { type_url: "type.googleapis.com/x.Y" value: "secret" }'),
        (("bebas",), "bebas { fields { key: 'k' value { string_value: 'v' } } }",
         'bebas { fields { key: "k" value { string_value: "v" } } }'),
        (("bungkus",), "bungkus { value: 'x' } jumlah: 1", 'bungkus { value: "x" }'),
    ],
)  # fmt: skip
def test_what_is_named_passes_and_nothing_else(
    paths: tuple[str, ...], given: str, passes: str
) -> None:
    assert masked(given, *paths) == passes


@pytest.mark.parametrize("paths", [("jumlah",), ("pulau",), ("semua", "per_kode", "angka")])
def test_unknown_fields_never_pass(paths: tuple[str, ...]) -> None:
    unknown = b"\xf2\x3f\x06secret"  # Field 1022.
    island = b"\x0a\x01a" + unknown
    given = b"\x60\x02" + b"\x0a" + bytes([len(island)]) + island + unknown
    passed = compile_mask(ANSWER, paths).apply(given)
    assert b"secret" not in passed


def test_an_empty_message_stays_empty() -> None:
    assert compile_mask(ANSWER, ("pulau.nama",)).apply(b"") == b""


def test_zeros_and_numbers_of_no_name_stay_as_they_came() -> None:
    zero, unnamed_kind = b"\x60\x00", b"\x0a\x02\x18\x63"
    mask = compile_mask(ANSWER, ("jumlah", "pulau.kind"))
    assert mask.apply(unnamed_kind + zero) == unnamed_kind + zero


def test_text_that_is_no_utf_8_is_not_judged() -> None:
    given = b"\x0a\x04\x0a\x02\xff\xfe"
    assert compile_mask(ANSWER, ("pulau.nama",)).apply(given) == given


def test_of_a_oneof_the_last_one_counts_as_before() -> None:
    both = b"\x30\x05" + b"\x2a\x01a"  # nomor, then teks.
    assert told(compile_mask(ANSWER, ("teks", "nomor")).apply(both)) == told(both)


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"\x0a\x05a", "cut short"), (b"\x0a\x01\x0a", "a broken message inside"), (b"\x07", "tag")],
)
def test_what_is_no_such_message_is_refused(data: bytes, why: str) -> None:
    del why
    with pytest.raises(SimpulError) as caught:
        compile_mask(ANSWER, ("pulau.nama",)).apply(data)
    assert caught.value.code is Code.MESSAGE_UNREADABLE


@pytest.mark.parametrize(
    "paths",
    [
        (),
        ("",),
        ("tidak_ada",),
        ("pulau.tidak_ada",),
        ("jumlah.x",),
        ("label.x",),
        ("pulau.",),
        (".pulau",),
        ("1",),
        ("pulau" + ".anak" * MAX_DEPTH,),
        tuple("pulau.nama" for _ in range(MAX_PATHS + 1)),
    ],
)
def test_a_path_that_names_nothing_is_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(SimpulError) as caught:
        compile_mask(ANSWER, paths)
    assert caught.value.code is Code.ACCESS_FIELDS


def test_a_group_cannot_be_masked_and_does_not_pass() -> None:
    pool = DescriptorPool()
    file = Parse(
        """
        name: "g.proto" package: "g" syntax: "proto2"
        message_type {
          name: "M"
          field { name: "a" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
          field { name: "inner" number: 3 type: TYPE_GROUP type_name: ".g.M.Inner" label: LABEL_OPTIONAL }
          nested_type {
            name: "Inner"
            field { name: "b" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
          }
        }
        message_type {
          name: "Outer"
          field { name: "m" number: 1 type: TYPE_MESSAGE type_name: ".g.M" label: LABEL_OPTIONAL }
        }
        """,  # noqa: E501
        FileDescriptorProto(),
    )
    pool.AddSerializedFile(file.SerializeToString())
    with pytest.raises(SimpulError, match="group"):
        compile_mask(pool.FindMessageTypeByName("g.M"), ("inner",))
    outer = compile_mask(pool.FindMessageTypeByName("g.Outer"), ("m",))
    assert outer.apply(b"\x0a\x06\x08\x05\x1b\x08\x07\x1c") == b"\x0a\x02\x08\x05"


_names = st.text(alphabet="abcXYZ é", max_size=6)
_island = st.recursive(
    st.fixed_dictionaries({}, optional={"nama": _names, "luas": st.floats(allow_nan=False)}),
    lambda inner: st.fixed_dictionaries(
        {"anak": st.lists(inner, max_size=2)},
        optional={"nama": _names, "foto": st.binary(max_size=4)},
    ),
    max_leaves=5,
)
_answer = st.fixed_dictionaries(
    {},
    optional={
        "pulau": _island,
        "semua": st.lists(_island, max_size=3),
        "per_kode": st.dictionaries(_names, _island, max_size=2),
        "angka": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
        "teks": _names,
        "label": st.dictionaries(_names, _names, max_size=2),
        "jumlah": st.integers(-(2**31), 2**31 - 1),
        "biner": st.binary(max_size=4),
    },
)
_PATHS: Final = (
    "pulau", "pulau.nama", "pulau.anak", "pulau.anak.luas", "pulau.foto", "semua", "semua.luas",
    "per_kode", "per_kode.nama", "per_kode.anak.anak", "angka", "teks", "label", "jumlah", "biner",
)  # fmt: skip


def _kept(value: object, tree: dict[str, Any] | None) -> object:
    """The model: a dictionary with what is named. `tree` None: all but bytes."""
    if isinstance(value, list):
        return [_kept(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, item in value.items():
        if tree is None:
            if not isinstance(item, bytes):
                kept[name] = _kept(item, None)
        elif name in tree:
            below = tree[name]
            inner = below or None
            if name in {"per_kode", "label"} and isinstance(item, dict):
                kept[name] = {key: _kept(one, inner) for key, one in item.items()}
            else:
                kept[name] = _kept(item, inner)
    return kept


def _tree(paths: set[str]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(paths):
        if any(path.startswith(f"{other}.") for other in paths):
            continue
        node = root
        for name in path.split("."):
            node = node.setdefault(name, {})
    return root


@given(said=_answer, paths=st.sets(st.sampled_from(_PATHS), min_size=1))
def test_it_does_what_the_model_does(said: dict[str, object], paths: set[str]) -> None:
    passed = compile_mask(ANSWER, paths).apply(Answer(**said).SerializeToString())
    kept = _kept(said, _tree(paths))
    assert isinstance(kept, dict)
    assert Answer.FromString(passed) == Answer(**kept)


@given(data=st.binary(max_size=64))
def test_whatever_comes_it_ends_in_bytes_or_in_its_refusal(data: bytes) -> None:
    mask = compile_mask(ANSWER, ("pulau", "semua.anak"))
    refused = None
    try:
        passed = mask.apply(data)
    except SimpulError as error:
        refused = error.code
    else:
        assert mask.apply(passed) == passed
    assert refused in {None, Code.MESSAGE_UNREADABLE}
