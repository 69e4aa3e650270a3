"""What an operator may want to know of an agreement before it is signed. Pure; refuses nothing."""

from __future__ import annotations

from collections.abc import Iterator

from security.activity import Register, check_in_use
from security.agreement import AgreementTerms
from security.agreement_terms import LegalBasis
from security.contract_types import ContractTypes, contract_types, notes
from security.directory import DirectoryView
from security.errors import SimpulError


def hints(terms: AgreementTerms, directory: DirectoryView) -> tuple[str, ...]:
    """One sentence each, the most urgent first.

    Raises:
        SimpulError: The provider no longer publishes what the agreement is about.
    """
    return (
        *_unlisted(terms, directory),
        *_unregistered(terms, directory),
        *_consented(terms),
        *_matching(terms, directory),
    )


def _unlisted(terms: AgreementTerms, directory: DirectoryView) -> Iterator[str]:
    """Consumers' subsystems need not be listed: a misspelt one is only found when nobody calls."""
    for subsystem in terms.consumer_subsystems:
        member = directory.members.get(subsystem.member)
        if member is None or subsystem not in member.subsystems:
            yield (
                f"{subsystem} is not in the directory: if that is no slip of the pen, its apps may "
                "call all the same"
            )


def registered(terms: AgreementTerms, directory: DirectoryView) -> tuple[tuple[str, str], ...]:
    """Each purpose, and the text that stands in the consumer's register, where it keeps one."""
    register = _register(terms, directory)
    return tuple(
        (item.id, _text(register, item.id)) for item in (terms.purposes if register else ())
    )


def _unregistered(terms: AgreementTerms, directory: DirectoryView) -> Iterator[str]:
    """Purposes by which no call is permitted."""
    register = _register(terms, directory)
    for item in terms.purposes if register else ():
        try:
            check_in_use(register, str(terms.consumer.member), item.id, item.legal_basis)
        except SimpulError as error:
            yield f"no call will be permitted: {error.message}"


def _register(terms: AgreementTerms, directory: DirectoryView) -> Register:
    member = directory.members.get(terms.consumer.member)
    return {} if member is None else member.activities


def _text(register: Register, purpose: str) -> str:
    if purpose not in register:
        return "it is not in the consumer's register"
    newest = register[purpose][-1]
    seen = newest.citizen_visibility.name.lower()
    said = (
        f"{newest.title}. {newest.purpose} (version {newest.version}, "
        f"{newest.legal_basis.name}; kept {newest.retention}; {seen} to citizens; officer "
        f"{newest.officer})"
    )
    return f"retired: {said}" if newest.retired else said


def _consented(terms: AgreementTerms) -> Iterator[str]:
    """Where a purpose rests on consent, apps must name one at each call."""
    for item in terms.purposes:
        if item.legal_basis is LegalBasis.CONSENT:
            yield (
                f"{item.id} rests on consent: each call names a citizen's (simpul-consent) and the "
                "citizen (simpul-subject); the provider keeps them (`simpul consent record`)"
            )


def _matching(terms: AgreementTerms, directory: DirectoryView) -> Iterator[str]:
    """Where a method of the contract answers yes or no, personal data need not travel."""
    for item in terms.services:
        contract = directory.service(terms.provider_subsystem, item.service).contract
        types = contract_types(contract.descriptor_set)
        matching = [name for name in contract.methods if types.is_match_only(item.service, name)]
        telling = [name for name in item.methods if _is_telling(types, item.service, name)]
        unused = [name for name in matching if name not in item.methods]
        if telling and unused:
            yield (
                f"{', '.join(telling)} of {item.service} tells personal data; where it is enough "
                f"to know whether data match, ask for {', '.join(unused)} alone"
            )


def _is_telling(types: ContractTypes, service: str, method: str) -> bool:
    if types.is_match_only(service, method):
        return False
    return any(note.personal for note in notes(types.response(service, method)))
