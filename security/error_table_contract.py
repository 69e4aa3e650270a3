"""The part of the table of codes that is about contracts. See `error_table`."""

from collections.abc import Mapping
from typing import Final

from security.error_codes import Code, ErrorInfo, Status

CONTRACT_ERRORS: Final[Mapping[Code, ErrorInfo]] = {
    Code.CONTRACT_BREAKING: ErrorInfo(
        Status.FAILED_PRECONDITION,
        "The new revision can't be read by those who go by the one before, or not by all.",
        "Mend what the message names, or publish it as the package's next version, v2.",
    ),
    Code.CONTRACT_DIFFERS: ErrorInfo(
        Status.FAILED_PRECONDITION,
        "The service isn't what any revision of its contract says.",
        "See all of it (simpul contract check); match a revision, or publish your own package.",
    ),
    Code.CONTRACT_OWNER: ErrorInfo(
        Status.PERMISSION_DENIED,
        "The contract is another member's.",
        "Ask its owner, or publish yours under another package.",
    ),
    Code.CONTRACT_RETIRED: ErrorInfo(
        Status.FAILED_PRECONDITION,
        "The contract is retired: nobody begins to implement it.",
        "Take its successor: simpul contract show PACKAGE names it.",
    ),
    Code.CONTRACT_SIMILAR: ErrorInfo(
        Status.ALREADY_EXISTS,
        "There is a contract that is much like the one to be published.",
        "Adopt it, or say why not: simpul contract publish --why-not TEXT.",
    ),
    Code.CONTRACT_UNKNOWN: ErrorInfo(
        Status.NOT_FOUND,
        "There is no such contract.",
        "Check the package's name: simpul contract list.",
    ),
}
