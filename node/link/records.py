"""Parcels as the journal records them, from either side of a link."""

from __future__ import annotations

from node.journal.model import Direction, LinkEnd, ParcelRecord
from node.link.contents import Kept
from node.link.sealer import Drawn
from security.identifiers import NodeId
from security.receiver import AcceptedParcel


def sent_record(peer: NodeId, end: LinkEnd, drawn: Drawn, seal: bytes) -> ParcelRecord:
    """A parcel that was sealed here."""
    parcel = drawn.parcel
    fields = parcel.fields
    return ParcelRecord(
        Direction.SENT, str(peer), str(fields.member), fields.link_id, end, fields.number,
        fields.sealed_at_ms, parcel.header, seal, parcel.header_hash, parcel.entries,
        *drawn.kept,
    )  # fmt: skip


def received_record(
    peer: NodeId, end: LinkEnd, accepted: AcceptedParcel, kept: Kept
) -> ParcelRecord:
    """A parcel of the peer's that passed the receiver's checks; what of its content is kept."""
    fields = accepted.fields
    return ParcelRecord(
        Direction.RECEIVED, str(peer), str(fields.member), fields.link_id, end, fields.number,
        fields.sealed_at_ms, accepted.header, accepted.seal, accepted.header_hash,
        tuple(entry.sealed for entry in accepted.entries), *kept,
    )  # fmt: skip
