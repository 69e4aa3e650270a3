"""Field terms against contracts: what is agreed is there, and personal data needs a word."""

from dataclasses import replace
from typing import Final

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.text_format import Parse

from security.agreement import AgreementTerms, FieldTerm, ServiceTerm
from security.agreement_fields import check_fields, method_fields
from security.contract_types import contract_types, notes
from security.errors import Code, SimpulError
from simpul.v1 import annotations_pb2
from tests.support.agreements import TERMS

SERVICE: Final = "warga.v1.Layanan"
_FILE: Final = """
name: "warga.proto" package: "warga.v1" syntax: "proto3"
dependency: "simpul/v1/annotations.proto"
message_type {
  name: "Tanya"
  field {
    name: "nik" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL
    options { [simpul.v1.subject]: true [simpul.v1.personal]: true }
  }
}
message_type {
  name: "Warga"
  field {
    name: "nama" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL
    options { [simpul.v1.personal]: true }
  }
  field {
    name: "penyakit" number: 2 type: TYPE_STRING label: LABEL_REPEATED
    options { [simpul.v1.sensitive]: true }
  }
  field { name: "desa" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "anak" number: 4 type: TYPE_MESSAGE type_name: ".warga.v1.Warga" label: LABEL_REPEATED }
}
message_type {
  name: "Jawab"
  field { name: "warga" number: 1 type: TYPE_MESSAGE type_name: ".warga.v1.Warga" label: LABEL_REPEATED }
  field { name: "per_nik" number: 2 type: TYPE_MESSAGE type_name: ".warga.v1.Jawab.PerNikEntry" label: LABEL_REPEATED }
  nested_type {
    name: "PerNikEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".warga.v1.Warga" label: LABEL_OPTIONAL }
  }
}
message_type { name: "Benar" field { name: "benar" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL } }
service {
  name: "Layanan"
  method { name: "Cari" input_type: ".warga.v1.Tanya" output_type: ".warga.v1.Jawab" }
  method {
    name: "Cocok" input_type: ".warga.v1.Tanya" output_type: ".warga.v1.Benar"
    options { [simpul.v1.match_only]: true }
  }
}
"""  # noqa: E501 - a line for each field


def _contract(text: str) -> bytes:
    files = [
        FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        for module in (descriptor_pb2, annotations_pb2)
    ]
    return FileDescriptorSet(file=[*files, Parse(text, FileDescriptorProto())]).SerializeToString()


TYPES: Final = contract_types(_contract(_FILE))
ANSWER: Final = TYPES.response(SERVICE, "Cari")


def terms(
    response: FieldTerm, request: FieldTerm | None = None, methods: tuple[str, ...] = ("Cari",)
) -> AgreementTerms:
    return replace(
        TERMS,
        services=(ServiceTerm(SERVICE, methods),),
        request_fields=FieldTerm(None, "the register is asked by number") if request is None
        else request,
        response_fields=response,
    )  # fmt: skip


def code_of(agreement: AgreementTerms) -> Code:
    with pytest.raises(SimpulError) as caught:
        check_fields(agreement, {SERVICE: TYPES})
    return caught.value.code


def test_a_contract_says_which_fields_are_personal() -> None:
    said = {note.path: note for note in notes(ANSWER)}
    assert set(said) == {"warga.nama", "warga.penyakit", "per_nik.nama", "per_nik.penyakit"}
    assert said["warga.penyakit"].sensitive
    assert said["warga.penyakit"].personal
    assert not said["warga.nama"].sensitive
    (subject,) = notes(TYPES.request(SERVICE, "Cari"))
    assert (subject.path, subject.subject) == ("nik", True)


def test_a_contract_says_which_methods_only_match() -> None:
    assert TYPES.is_match_only(SERVICE, "Cocok")
    assert not TYPES.is_match_only(SERVICE, "Cari")


def test_a_method_that_is_not_there() -> None:
    for service, method in ((SERVICE, "Hapus"), ("x.v1.X", "Cari")):
        with pytest.raises(SimpulError) as caught:
            TYPES.request(service, method)
        assert caught.value.code is Code.METHOD_UNKNOWN


def test_all_needs_a_reason_where_there_are_personal_fields() -> None:
    assert code_of(terms(FieldTerm(None))) is Code.ACCESS_FIELDS
    check_fields(terms(FieldTerm(None, "the census needs it whole")), {SERVICE: TYPES})
    assert code_of(terms(FieldTerm(("Cari/warga.desa",)), FieldTerm(None))) is Code.ACCESS_FIELDS


def test_all_needs_none_where_there_are_no_personal_fields() -> None:
    agreement = terms(FieldTerm(None), FieldTerm(("Cocok/nik",)), ("Cocok",))
    check_fields(agreement, {SERVICE: TYPES})


@pytest.mark.parametrize(
    "paths",
    [
        ("Cari/tidak_ada",),
        ("Cari/warga.tidak_ada",),
        ("Cari/@etag",),
        ("Cocok/benar",),
    ],
)
def test_what_lets_nothing_pass_or_names_nothing(paths: tuple[str, ...]) -> None:
    assert code_of(terms(FieldTerm(paths))) is Code.ACCESS_FIELDS


def test_each_method_needs_a_path() -> None:
    both = terms(FieldTerm(("Cari/warga.desa",)), methods=("Cari", "Cocok"))
    assert code_of(both) is Code.ACCESS_FIELDS


def test_a_revision_that_lost_the_field_makes_the_agreement_unusable() -> None:
    revised = contract_types(_contract(_FILE.replace('name: "desa"', 'name: "kelurahan"')))
    agreement = terms(FieldTerm(("Cari/warga.desa",)))
    check_fields(agreement, {SERVICE: TYPES})
    with pytest.raises(SimpulError) as caught:
        check_fields(agreement, {SERVICE: revised})
    assert caught.value.code is Code.ACCESS_FIELDS


def test_a_service_without_a_contract() -> None:
    with pytest.raises(SimpulError) as caught:
        check_fields(terms(FieldTerm(("Cari/warga.desa",))), {})
    assert caught.value.code is Code.SERVICE_UNKNOWN


def test_metadata_passes_where_it_is_named() -> None:
    term = FieldTerm(("Cari/warga.desa", "Cari/@etag", "Cocok/@other"))
    found = method_fields(term, ANSWER, "Cari")
    assert found is not None
    assert found.metadata == {"etag"}
    assert method_fields(FieldTerm(None), ANSWER, "Cari") is None
