"""Everything that is published of a member, read in one go."""

from sqlmodel import Session

from registry.model import Listing
from registry.store import activities, members, nodes, services, statements, subsystems
from security.identifiers import MemberId


def get(session: Session, member: MemberId) -> Listing:
    """The member's listing.

    Raises:
        SimpulError: MEMBER_UNKNOWN.
    """
    return Listing(
        member=members.get(session, member),
        subsystems=subsystems.of_member(session, member),
        services=services.of_member(session, member),
        nodes=nodes.of_owner(session, member),
        revoked_keys=members.revoked_keys(session, member),
        successions=statements.successions(session, member),
        activities=activities.of_member(session, member),
        seal_key_requests=tuple(row.request for row in statements.requests(session, member)),
    )
