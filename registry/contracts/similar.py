"""Answers a node that asks which contracts are much like one, before it publishes anything.

It is the judgement that `workflow` comes to when the contract is published; nothing is kept of it.
"""

from registry import rules
from registry.contracts import rules as contract_rules
from registry.contracts.model import KnownContract, Likeness
from registry.contracts.workflow import closest
from registry.registrar import Registrar
from registry.requests import MAX_CHANGE_BYTES, parse_similar_query
from registry.rules import step
from registry.store import nodes
from security.contract_comments import comments_of, without_comments
from security.errors import Code


def find_similar(
    registrar: Registrar, data: bytes, signature: bytes, now_ms: int
) -> tuple[Likeness, ...]:
    """The closest contracts, the closest first: the steps of a change, but for its number.

    Args:
        registrar: What to go by.
        data: The SimilarQuery, as it was signed.
        signature: By the node's key.
        now_ms: The time.

    Raises:
        SimpulError: of the step that refused.
    """
    with step(1):
        rules.check_size(data, MAX_CHANGE_BYTES)
    with step(2):
        query = parse_similar_query(data)
    with step(3):
        rules.check_federation(query.federation, registrar.federation, Code.CHANGE_INVALID)
    with registrar.store.transaction() as session:
        with step(4):
            node = nodes.get(session, query.node)
            rules.check_node_active(node)
        with step(5):
            rules.verify_similar_query_signature(node, data, signature)
        with step(6):
            rules.check_made_now(query.made_at_ms, now_ms)
        with step(10):
            contract_rules.check_content(query.descriptor_set, query.package)
            new = KnownContract(
                query.package,
                1,
                query.member or node.owner,
                without_comments(query.descriptor_set),
                comments_of(query.descriptor_set, query.package),
            )
            return closest(session, registrar, new)
