"""The demo's check of contracts: one that is much like another is caught before it is published."""

from cli.admin import Program, find_node, node_admin
from cli.demo.cast import PROTOSETS, WISATA
from cli.demo.exchange import CheckError, require
from cli.demo.federation import NodePlace
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2

TWIN = "pulau.v1"
_ADOPTABLE = WISATA.rpartition(".")[0]


async def look_alike(publisher: NodePlace, users: list[NodePlace]) -> str:
    """`pulau.v1` has other names, in another language: it is told, and refused.

    Args:
        publisher: The node whose member would publish it.
        users: The nodes whose members implement `wisata.v1`.
    """
    descriptor_set = (PROTOSETS / "pulau.protoset").read_bytes()
    program = find_node(publisher.home)
    async with node_admin(program) as stub:
        asked = admin_pb2.FindSimilarRequest(descriptor_set=descriptor_set)
        told = await stub.FindSimilar(asked)
    require(bool(told.similar), f"nothing is like {told.package}")
    closest = told.similar[0]
    require(
        closest.package == _ADOPTABLE and closest.close,
        f"the closest to {told.package} is {closest.package}, {closest.likeness:.0%}",
    )
    members = {node.who.member for node in users}
    require(members <= set(closest.users), f"{sorted(members)} use it, and not {closest.users}")
    await _refused(program, publisher.who.member, descriptor_set)
    async with node_admin(program) as stub:
        listed = await stub.ListContracts(admin_pb2.ListContractsRequest())
    packages = [entry.card.package for entry in listed.contracts]
    require(TWIN not in packages, f"{TWIN} is in the directory all the same")
    return (
        f"{told.package} is {closest.likeness:.0%} {closest.package}, which "
        f"{', '.join(closest.users)} implement; shared: {closest.shared[0]}"
    )


async def _refused(program: Program, member: str, descriptor_set: bytes) -> None:
    request = admin_pb2.PublishContractRequest(member=member, descriptor_set=descriptor_set)
    try:
        async with node_admin(program) as stub:
            await stub.PublishContract(request)
    except SimpulError as error:
        require(error.code is Code.CONTRACT_SIMILAR, f"{error.code}: {error.message}")
        return
    raise CheckError("it was published")
