"""What an agreement's field terms mean for the contracts that it is about.

`method_fields` is what the provider's node goes by for each message; `check_fields` is asked before
an agreement is signed or countersigned, and again when a contract has a new revision. Rules:

1. Every path names a field of the method's message. A contract that has lost the field makes the
   agreement unusable for that method: what is there now under another name was never agreed.
2. Under a mask every method has a path: an answer with nothing in it is nobody's wish.
3. `all` over a method with personal fields needs a reason.
4. Under a mask, metadata passes only where it is named (`List/@etag`), status details included
   (`List/@grpc-status-details-bin`): no contract describes them. Status and message pass.

Source: docs/spec, "Field masks"; trust, "Agreements".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor

from security.agreement_terms import AgreementTerms, FieldTerm
from security.contract_types import ContractTypes, notes
from security.errors import Code, SimpulError
from security.field_mask import Mask, compile_mask

_METADATA = "@"


@dataclass(frozen=True, slots=True)
class MethodFields:
    """What may pass of one direction of a method."""

    mask: Mask
    # Keys of metadata, initial or trailing.
    metadata: frozenset[str]


def method_fields(term: FieldTerm, message: Descriptor, method: str) -> MethodFields | None:
    """What may pass of a method's messages of this type; None: all of it.

    Raises:
        SimpulError: ACCESS_FIELDS where a path names no field, or the method has no path.
    """
    if term.paths is None:
        return None
    own = [path for name, _, path in (item.partition("/") for item in term.paths) if name == method]
    fields = [path for path in own if not path.startswith(_METADATA)]
    if len(fields) == 0:
        raise SimpulError(
            Code.ACCESS_FIELDS,
            f"the agreement names no field of {method}, so nothing of it could pass; name one, or "
            "leave the method out",
        )
    keys = frozenset(path.removeprefix(_METADATA) for path in own if path.startswith(_METADATA))
    return MethodFields(compile_mask(message, fields), keys)


def check_fields(terms: AgreementTerms, contracts: Mapping[str, ContractTypes]) -> None:
    """Pass where the field terms fit the contracts of all its services, by their full names.

    Raises:
        SimpulError: ACCESS_FIELDS; METHOD_UNKNOWN where a contract lacks a method; SERVICE_UNKNOWN
            where a contract isn't given.
    """
    for service in terms.services:
        types = contracts.get(service.service)
        if types is None:
            raise SimpulError(
                Code.SERVICE_UNKNOWN, f"no contract of {service.service} is published here"
            )
        for method in service.methods:
            _check(terms.request_fields, types.request(service.service, method), method, "request")
            _check(
                terms.response_fields, types.response(service.service, method), method, "response"
            )


def _check(term: FieldTerm, message: Descriptor, method: str, side: str) -> None:
    if method_fields(term, message, method) is not None or term.reason != "":
        return
    personal = [note.path for note in notes(message) if note.personal]
    if personal:
        raise SimpulError(
            Code.ACCESS_FIELDS,
            f"{method}'s {side} has personal fields ({', '.join(personal[:5])}): name the fields "
            "that are needed, or say all and give a reason",
        )
