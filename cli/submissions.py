"""How a submission about a contract is shown, at the node and at the registry alike."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from cli.output import plain, print_hint, print_line, print_pairs, print_table, when

if TYPE_CHECKING:
    from simpul.v1 import registry_pb2

# Of advice and shared names; the rest is counted.
MAX_SHOWN: Final = 10


def state_of(submission: "registry_pb2.Submission") -> str:
    """`in discussion`."""
    return word(type(submission).DESCRIPTOR.fields_by_name["state"], submission.state)


def word(field: object, number: int) -> str:
    """An enum's value without the enum's name, in words."""
    from google.protobuf.descriptor import FieldDescriptor

    if not isinstance(field, FieldDescriptor) or field.enum_type is None:
        return str(number)
    value = field.enum_type.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(value.name.removeprefix(prefix).lower().replace("_", " "))


def print_submissions(found: "Iterable[registry_pb2.Submission]") -> None:
    """A table, one line each."""
    print_table(
        ("ID", "CONTRACT", "REVISION", "MEMBER", "ASKS TO", "SINCE", "STATE", "WAITS BECAUSE"),
        (
            (
                str(item.id),
                item.package,
                str(item.revision),
                item.member,
                item.kind.replace("_", " "),
                when(item.submitted_at_ms),
                state_of(item),
                item.waits_because or "-",
            )
            for item in found
        ),
        empty="Nothing waits.",
    )


def print_submission(item: "registry_pb2.Submission") -> None:
    """One, with what it is like, what could be better, and its thread."""
    print_pairs(
        (
            ("submission", str(item.id)),
            ("contract", f"{item.package}, revision {item.revision}"),
            ("asks to", item.kind.replace("_", " ")),
            ("member", item.member),
            ("node", item.node),
            ("state", state_of(item)),
            ("waits because", item.waits_because or "-"),
            ("why not another", item.why_not or "-"),
        )
    )
    print_similar(item)
    print_advice(item.advice)
    for event in item.events:
        side = "registry" if event.by_registry else "member"
        state = word(type(event).DESCRIPTOR.fields_by_name["state"], event.state)
        said = f": {event.text}" if event.text else ""
        # On one line: the text is somebody's, and could look like a line of somebody else's.
        print_line(plain(f"{when(event.at_ms)}  {event.author} ({side}), {state}{said}"))


def print_similar(item: "registry_pb2.Submission") -> None:
    """The contracts that are most like it."""
    if item.similar:
        print_table(
            ("LIKE", "HOW MUCH", "OWNER", "USED BY", "SHARES"),
            (
                (
                    found.package,
                    f"{found.likeness:.0%}{' (close)' if found.close else ''}",
                    found.owner,
                    f"{len(found.users)} members",
                    ", ".join(found.shared[:MAX_SHOWN]),
                )
                for found in item.similar
            ),
            empty="",
        )


def print_advice(advice: Iterable[str]) -> None:
    """What could be better."""
    said = list(advice)
    for line in said[:MAX_SHOWN]:
        print_hint(line)
    if len(said) > MAX_SHOWN:
        print_hint(f"and {len(said) - MAX_SHOWN} more: see them all with --json")
