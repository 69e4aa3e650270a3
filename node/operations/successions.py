"""Follows partners' identity keys: a new one that the pinned one has signed takes its place.

It runs with every new directory, before anybody goes by it, so that no agreement rests in between.
A key that the pinned one never signed is left alone: the pin stays, the agreements rest
(`policy.pins`), and an operator is told to compare the fingerprint.
"""

from __future__ import annotations

import asyncio

import structlog

from node.operations.desk import Desk
from node.store.agreements import Pin, list_pins, replace_pin
from security.directory import MemberView
from security.errors import SimpulError
from security.keys import PublicKey
from security.succession import follow_successions

_log = structlog.get_logger(__name__)


async def follow(desk: Desk) -> None:
    """Replace every pin whose member has a new identity key that the pinned one leads to."""
    for pin in await asyncio.to_thread(list_pins, desk.store):
        member = desk.directory.members.get(pin.member)
        if member is None or member.statement is None:
            continue
        if member.statement.identity_key == pin.key:
            continue
        try:
            key = _followed(member, pin)
            await asyncio.to_thread(replace_pin, desk.store, pin, key, desk.now_ms())
        except SimpulError as error:
            _log.error(
                "identity key not followed: agreements with this member rest",
                owner=str(pin.owner),
                member=str(pin.member),
                why=error.message,
            )
            continue
        _log.info("identity key followed", owner=str(pin.owner), member=str(pin.member))


def _followed(member: MemberView, pin: Pin) -> PublicKey:
    if member.statement is None:
        raise TypeError("a member without a statement has no identity key")
    return follow_successions(
        member.successions,
        member=pin.member,
        pinned=pin.key,
        current=member.statement.identity_key,
    )
