"""Processing activities: what a member uses data for, in numbered versions that are never changed.

A purpose that an agreement lists and an open names is the id of one. A free text is none: ids are
those of purposes (`agreement_terms.check_purpose_id`). The newest version of an activity stands;
one that is retired ends it for good, and the earlier versions stay to be read.

The register is the registry's word, as all of a member's record but its statement: it stops calls,
and permits none.

Source: docs/spec, "Directory: activities"; simpul/v1/directory.proto, `Activity`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from security.agreement_terms import CitizenVisibility, LegalBasis, check_purpose_id
from security.errors import Code, SimpulError
from simpul.v1 import agreement_pb2, directory_pb2

# Of all activities of a member, every version counted.
MAX_VERSIONS: Final = 512
MAX_TEXT_CHARS: Final = 1000
MAX_LINE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class ActivityView:
    """One version of an activity."""

    id: str
    version: int
    title: str
    purpose: str
    legal_basis: LegalBasis
    retention: str
    citizen_visibility: CitizenVisibility
    officer: str
    retired: bool = False


# By id, the oldest version first.
Register = Mapping[str, tuple[ActivityView, ...]]


def read_activity(message: directory_pb2.Activity) -> ActivityView:
    """Read one version, strictly.

    Raises:
        SimpulError: CHANGE_INVALID.
    """
    try:
        check_purpose_id(message.id)
        basis = LegalBasis(message.legal_basis)
        visibility = CitizenVisibility(message.citizen_visibility)
    except SimpulError:
        raise _invalid(f"{message.id[:80]!a} is no purpose like layanan-wisata") from None
    except ValueError:
        raise _invalid(f"{message.id} has no legal basis, or doesn't say who may see it") from None
    if message.version == 0:
        raise _invalid(f"{message.id} has no version")
    for text, most in (
        (message.title, MAX_LINE_CHARS),
        (message.purpose, MAX_TEXT_CHARS),
        (message.retention, MAX_LINE_CHARS),
        (message.officer, MAX_LINE_CHARS),
    ):
        if not 0 < len(text) <= most or not text.isprintable():
            raise _invalid(
                f"title, purpose, retention and officer of {message.id} are texts of one line, "
                f"{MAX_LINE_CHARS} letters at most, and {MAX_TEXT_CHARS} of the purpose"
            )
    return ActivityView(
        id=message.id,
        version=message.version,
        title=message.title,
        purpose=message.purpose,
        legal_basis=basis,
        retention=message.retention,
        citizen_visibility=visibility,
        officer=message.officer,
        retired=message.retired,
    )


def read_register(messages: Iterable[directory_pb2.Activity]) -> Register:
    """Read a member's register: by id, versions from 1 without gaps, retired at most the last.

    Raises:
        SimpulError: CHANGE_INVALID.
    """
    found: dict[str, list[ActivityView]] = {}
    count = 0
    for message in messages:
        view = read_activity(message)
        check_next(found.get(view.id, ()), view)
        found.setdefault(view.id, []).append(view)
        count += 1
    if count > MAX_VERSIONS:
        raise _invalid(f"a register has {count} versions of activities, over {MAX_VERSIONS}")
    return MappingProxyType({id_: tuple(versions) for id_, versions in found.items()})


def check_next(before: "list[ActivityView] | tuple[ActivityView, ...]", view: ActivityView) -> None:
    """Pass where a version may follow those before it.

    Raises:
        SimpulError: CHANGE_INVALID.
    """
    if before and before[-1].retired:
        raise _invalid(f"{view.id} was retired, which is for good: add one of another name")
    if view.version != len(before) + 1:
        raise _invalid(f"{view.id} has version {view.version}, and {len(before) + 1} is the next")
    if not before and view.retired:
        raise _invalid(f"{view.id} can't be retired before it was added")


def check_in_use(register: Register, member: str, purpose: str, basis: LegalBasis) -> None:
    """Pass where a purpose may be named in a call of a member.

    A member without a register names its purposes as its agreements list them.

    Raises:
        SimpulError: ACCESS_PURPOSE: never registered, retired, or by another right.
    """
    if not register:
        return
    versions = register.get(purpose)
    if versions is None:
        why = "is not in its register of purposes; it adds it (simpul purpose add)"
    elif versions[-1].retired:
        why = "was retired; name another, and agree on it"
    elif versions[-1].legal_basis is not basis:
        why = f"rests on {versions[-1].legal_basis.name} now; make an agreement anew"
    else:
        return
    raise SimpulError(Code.ACCESS_PURPOSE, f"purpose {purpose} of {member} {why}")


def activity_message(view: ActivityView) -> directory_pb2.Activity:
    """Return what `read_activity` reads."""
    return directory_pb2.Activity(
        id=view.id,
        version=view.version,
        title=view.title,
        purpose=view.purpose,
        legal_basis=agreement_pb2.LegalBasis.ValueType(view.legal_basis),
        retention=view.retention,
        citizen_visibility=agreement_pb2.CitizenVisibility.ValueType(view.citizen_visibility),
        officer=view.officer,
        retired=view.retired,
    )


def _invalid(what: str) -> SimpulError:
    return SimpulError(Code.CHANGE_INVALID, f"an activity is refused: {what}")
