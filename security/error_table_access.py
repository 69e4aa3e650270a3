"""The part of the table of codes that is about agreements and delegations. See `error_table`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from security.error_codes import Code, ErrorInfo, Status

ACCESS_ERRORS: Final[Mapping[Code, ErrorInfo]] = MappingProxyType(
    {
        Code.ACCESS_CONSUMER: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The agreement doesn't name this consumer.",
            "Ask the provider for an agreement that names this subsystem.",
        ),
        Code.ACCESS_DELEGATION: ErrorInfo(
            Status.PERMISSION_DENIED,
            "No delegation that holds lets the caller act for that member.",
            "Ask that member: simpul access delegate at its node; then ask the provider anew.",
        ),
        Code.ACCESS_EXPIRED: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The agreement doesn't hold at this time.",
            "Call within its dates and hours, or ask the provider for a new one.",
        ),
        Code.ACCESS_FIELDS: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The agreement's fields don't fit the service's contract.",
            "Make an agreement whose fields the contract has, under the method's name.",
        ),
        Code.ACCESS_METHOD: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The agreement doesn't cover this method.",
            "Ask the provider for an agreement that lists it.",
        ),
        Code.ACCESS_NO_AGREEMENT: ErrorInfo(
            Status.PERMISSION_DENIED,
            "No agreement permits this call.",
            "Ask the provider to allow it: simpul access allow.",
        ),
        Code.ACCESS_PURPOSE: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The purpose is missing, or isn't in the agreement.",
            "Send simpul-purpose with one of the agreement's purposes.",
        ),
        Code.ACCESS_QUOTA: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "The agreement's calls of this day are used up.",
            "Wait for the next day (Western Indonesia Time), or ask for an agreement with more.",
        ),
        Code.ACCESS_RATE: ErrorInfo(
            Status.RESOURCE_EXHAUSTED,
            "Calls come faster than the agreement permits.",
            "Send fewer in a second, or ask for an agreement with a higher rate.",
        ),
        Code.AGREEMENTS_UNSETTLED: ErrorInfo(
            Status.UNAVAILABLE,
            "Another node of the member has not been heard from, and may know of a revocation.",
            "Start that node, or take it out of the directory; then simpul access settle.",
        ),
        Code.AGREEMENT_DECLINED: ErrorInfo(
            Status.PERMISSION_DENIED,
            "The other side declined the agreement.",
            "Settle its terms with the other side, then offer it again.",
        ),
        Code.AGREEMENT_INVALID: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "An agreement breaks its format, or a signature on it is wrong.",
            "Make it again, and have both sides sign it.",
        ),
        Code.DELEGATION_INVALID: ErrorInfo(
            Status.INVALID_ARGUMENT,
            "A delegation breaks its format, is forged, or doesn't cover what is asked by it.",
            "Have the delegator make it again: simpul access delegate.",
        ),
    }
)
