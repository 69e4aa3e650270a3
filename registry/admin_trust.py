"""What operators ask about root and policy: thin, like `service`."""

from registry.admin_members import Context
from registry.admin_operators import OperatorAdmin
from registry.directory import proposals
from registry.model import Touched
from registry.trust import Trust
from simpul.registry.v1 import admin_pb2


class TrustAdmin(OperatorAdmin):
    """The part of simpul.registry.v1.RegistryAdmin that is about what people sign elsewhere."""

    _trust: Trust

    async def ShowTrust(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.ShowTrustRequest, _context: Context
    ) -> admin_pb2.ShowTrustResponse:
        """Root and policy in force."""
        found = await self._desk.read(self._trust.show)
        return admin_pb2.ShowTrustResponse(
            root=found.root, targets=found.targets, policy=found.policy
        )

    async def MakeOnlineKeys(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.MakeOnlineKeysRequest, _context: Context
    ) -> admin_pb2.MakeOnlineKeysResponse:
        """Public keys for a root to list."""
        found = await self._desk.read(self._trust.next_keys)
        return admin_pb2.MakeOnlineKeysResponse(
            keys=[
                admin_pb2.OnlineKey(role=role, public_key=pem.decode())
                for role, pem in found.items()
            ]
        )

    async def RotateKeys(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.RotateKeysRequest, _context: Context
    ) -> admin_pb2.RotateKeysResponse:
        """New keys for bins and families; answers when all that they sign is published."""
        made, version = await self._desk.change(
            lambda: self._trust.rotate(tuple(request.roles)), lambda _: Touched(trust=True)
        )
        return admin_pb2.RotateKeysResponse(
            directory_version=version,
            keys=[admin_pb2.RotatedKey(role=role, key_id=key_id) for role, key_id in made.items()],
        )

    async def ChangeTrust(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ChangeTrustRequest, _context: Context
    ) -> admin_pb2.ChangeTrustResponse:
        """Publishes what was signed; answers when it is in force."""
        _, version = await self._desk.change(
            lambda: self._trust.accept(request.proposal, self._clock_ms()),
            lambda _: Touched(trust=True),
        )
        found = await self._desk.read(self._trust.show)
        root = proposals.parse_root(found.root)
        return admin_pb2.ChangeTrustResponse(directory_version=version, root_version=root.version)
