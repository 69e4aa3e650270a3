"""A contract with every shape of field, for the tests of masks."""

from typing import Final

from google.protobuf import any_pb2, message_factory, struct_pb2, wrappers_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString, Parse

_FILE: Final = """
name: "wisata.proto" package: "wisata.v1" syntax: "proto3"
dependency: "google/protobuf/any.proto"
dependency: "google/protobuf/struct.proto"
dependency: "google/protobuf/wrappers.proto"
enum_type { name: "Kind" value { name: "KIND_NONE" number: 0 } value { name: "KIND_A" number: 1 } }
message_type {
  name: "Pulau"
  field { name: "nama" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "luas" number: 2 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "kind" number: 3 type: TYPE_ENUM type_name: ".wisata.v1.Kind" label: LABEL_OPTIONAL }
  field { name: "foto" number: 4 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "anak" number: 5 type: TYPE_MESSAGE type_name: ".wisata.v1.Pulau" label: LABEL_REPEATED }
  field { name: "lain" number: 6 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }
}
message_type {
  name: "Jawaban"
  field { name: "pulau" number: 1 type: TYPE_MESSAGE type_name: ".wisata.v1.Pulau" label: LABEL_OPTIONAL }
  field { name: "semua" number: 2 type: TYPE_MESSAGE type_name: ".wisata.v1.Pulau" label: LABEL_REPEATED }
  field { name: "per_kode" number: 3 type: TYPE_MESSAGE type_name: ".wisata.v1.Jawaban.PerKodeEntry" label: LABEL_REPEATED }
  field { name: "angka" number: 4 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "teks" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "nomor" number: 6 type: TYPE_INT32 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "bebas" number: 7 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL }
  field { name: "apa" number: 8 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }
  field { name: "biner" number: 9 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "label" number: 10 type: TYPE_MESSAGE type_name: ".wisata.v1.Jawaban.LabelEntry" label: LABEL_REPEATED }
  field { name: "bungkus" number: 11 type: TYPE_MESSAGE type_name: ".google.protobuf.BytesValue" label: LABEL_OPTIONAL }
  field { name: "jumlah" number: 12 type: TYPE_SINT32 label: LABEL_OPTIONAL }
  oneof_decl { name: "pilihan" }
  nested_type {
    name: "PerKodeEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".wisata.v1.Pulau" label: LABEL_OPTIONAL }
  }
  nested_type {
    name: "LabelEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  }
}
"""  # noqa: E501 - a line for each field

POOL: Final = DescriptorPool()
for _module in (any_pb2, struct_pb2, wrappers_pb2):
    POOL.AddSerializedFile(_module.DESCRIPTOR.serialized_pb)
POOL.AddSerializedFile(Parse(_FILE, FileDescriptorProto()).SerializeToString())

ANSWER: Final[Descriptor] = POOL.FindMessageTypeByName("wisata.v1.Jawaban")
Answer: Final[type[Message]] = message_factory.GetMessageClass(ANSWER)


def answer(text: str) -> bytes:
    """An answer, from protobuf's text format."""
    return Parse(text, Answer(), descriptor_pool=POOL).SerializeToString()


def told(data: bytes) -> str:
    """An answer in text format, one line; unknown fields show as numbers."""
    message = Answer.FromString(data)
    return MessageToString(message, as_one_line=True, print_unknown_fields=True)
