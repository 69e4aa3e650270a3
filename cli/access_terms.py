"""The options by which an agreement's terms are said, shared by the commands of `simpul access`."""

import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from security.errors import Code, SimpulError

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import AccessFields, AccessRate, AccessTerms

DEFAULT_PURPOSE: Final = "layanan-publik"
MAX_DAYS: Final = 36_500
# Western Indonesia Time, in which agreements count days and hours.
WIB: Final = timezone(timedelta(hours=7))
_RATE: Final = re.compile(r"([1-9]\d{0,8})(?:/s)?(?::([1-9]\d{0,8}))?")


class LegalBasis(StrEnum):
    """Law 27/2022, article 20 (2); the names are those of the agreement's format."""

    CONSENT = "CONSENT"
    CONTRACT = "CONTRACT"
    LEGAL_DUTY = "LEGAL_DUTY"
    VITAL_INTEREST = "VITAL_INTEREST"
    PUBLIC_TASK = "PUBLIC_TASK"
    LEGITIMATE_INTEREST = "LEGITIMATE_INTEREST"


class Keeper(StrEnum):
    """Whose node keeps what was said."""

    NONE = "none"
    CONSUMER = "consumer"
    PROVIDER = "provider"
    BOTH = "both"


Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="Only this method; may be given several times. None: every method that the contract "
        "has today.",
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="METHOD/PATH",
        help="Only this field of the answers, like Get/island.name; may be given several times. "
        "METHOD/@KEY lets metadata pass. None: all fields.",
    ),
]
RequestFields = Annotated[
    list[str] | None,
    typer.Option(
        "--request-field", metavar="METHOD/PATH", help="The same of the requests. None: all fields."
    ),
]
AllBecause = Annotated[
    str | None,
    typer.Option(
        "--all-because",
        metavar="TEXT",
        help="Why all fields may pass; needed where the contract has personal ones.",
    ),
]
Rate = Annotated[
    str | None,
    typer.Option(
        "--rate", metavar="N/s[:BURST]", help="At most so many calls a second. None: no limit."
    ),
]
PerDay = Annotated[
    int | None,
    typer.Option("--per-day", min=1, metavar="N", help="At most so many calls a day (UTC+7)."),
]
Hours = Annotated[
    list[str] | None,
    typer.Option(
        "--hours", metavar="HH:MM-HH:MM", help="Only then, Western Indonesia Time; may be repeated."
    ),
]
Days = Annotated[
    int | None,
    typer.Option("--days", min=1, max=MAX_DAYS, help="How long it holds. None: 365 days."),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="DATE", help="The day it begins, like 2027-01-31. None: now."),
]
Keep = Annotated[
    Keeper | None,
    typer.Option(
        "--keep",
        case_sensitive=False,
        help="Whose node keeps what was said, encrypted: none, consumer, provider, both. "
        "None: neither.",
    ),
]
ConsumerDays = Annotated[
    int | None,
    typer.Option("--consumer-days", min=0, help="How many days the consumer may keep the data."),
]
Hidden = Annotated[
    bool, typer.Option("--hidden-from-citizens", help="Citizens don't see these calls.")
]
Note = Annotated[
    str, typer.Option("--note", metavar="TEXT", help="For the operators of the other side.")
]


def narrowing(
    *,
    methods: list[str] | None,
    fields: list[str] | None,
    request_fields: list[str] | None,
    rate: str | None,
    per_day: int | None,
    hours: list[str] | None,
    days: int | None,
    keep: Keeper | None,
    consumer_days: int | None,
) -> "AccessTerms":
    """The terms that a counter-offer and a new agreement have in common.

    Raises:
        SimpulError: REQUEST_MALFORMED, for a rate that is none.
    """
    from simpul.node.v1 import admin_pb2

    return admin_pb2.AccessTerms(
        methods=methods or [],
        response_fields=_fields(fields, None),
        request_fields=_fields(request_fields, None),
        rate=_rate(rate, per_day),
        valid_days=days or 0,
        hours=hours or [],
        payload_keeper="" if keep is None else keep.value,
        consumer_retention_days=consumer_days,
    )


def say_all_because(terms: "AccessTerms", reason: str | None) -> None:
    """Give the reason why all fields may pass, each way where none was named."""
    from simpul.node.v1 import admin_pb2

    if reason is None:
        return
    if not terms.HasField("response_fields"):
        terms.response_fields.CopyFrom(admin_pb2.AccessFields(reason=reason))
    if not terms.HasField("request_fields"):
        terms.request_fields.CopyFrom(admin_pb2.AccessFields(reason=reason))


def begin_ms(text: str | None) -> int:
    """The first moment of a day in Western Indonesia Time; 0 for none.

    Raises:
        SimpulError: REQUEST_MALFORMED.
    """
    if text is None:
        return 0
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=WIB)
    except ValueError:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"{text[:40]!a} is no day; say it like 2027-01-31"
        ) from None
    return int(day.astimezone(UTC).timestamp() * 1000)


def _fields(paths: list[str] | None, reason: str | None) -> "AccessFields | None":
    from simpul.node.v1 import admin_pb2

    if not paths and reason is None:
        return None
    return admin_pb2.AccessFields(paths=paths or [], reason=reason or "")


def _rate(text: str | None, per_day: int | None) -> "AccessRate | None":
    from simpul.node.v1 import admin_pb2

    if text is None:
        return None if per_day is None else admin_pb2.AccessRate(calls_per_day=per_day)
    match = _RATE.fullmatch(text)
    if match is None:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"{text[:40]!a} is no rate; say it like 10/s, or 10/s:50"
        )
    return admin_pb2.AccessRate(
        calls_per_second=int(match[1]),
        burst=int(match[2] or match[1]),
        calls_per_day=per_day or 0,
    )
