"""The part of the fake registry that is about root and policy: what was just made."""
# ruff: noqa: N802  (the protos' names)

import grpc
from securesystemslib.signer import CryptoSigner

from registry.directory.layout import Role
from registry.directory.roles import first_root, first_targets
from runtime.clock import now_ms
from simpul.registry.v1 import admin_pb2 as pb
from simpul.v1 import directory_pb2
from tests.unit.cli.fakes_operators import FakeOperators
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext

OWN = {role: CryptoSigner.generate_ed25519() for role in Role}
POLICY = directory_pb2.FederationPolicy(
    version=1,
    federation="ID",
    stale_after_ms=600_000,
    dead_after_ms=604_800_000,
    tls_authorities=[b"certificate"],
    member_classes=["DAERAH"],
    limits=directory_pb2.Limits(
        max_message_bytes=1,
        max_parcel_bytes=1,
        max_entries=1,
        max_metadata_bytes=1,
        max_call_ms=1,
    ),
)


class FakeTrust(FakeOperators):
    """A registry whose keys lie in its home."""

    heard: Heard

    def ShowTrust(self, request: pb.ShowTrustRequest, context: Context) -> pb.ShowTrustResponse:
        self.heard.take("ShowTrust", request, context)
        policy = POLICY.SerializeToString(deterministic=True)
        return pb.ShowTrustResponse(
            root=first_root(OWN, now_ms()).data,
            targets=first_targets(OWN, policy, now_ms()).data,
            policy=policy,
        )

    def MakeOnlineKeys(
        self, request: pb.MakeOnlineKeysRequest, context: Context
    ) -> pb.MakeOnlineKeysResponse:
        self.heard.take("MakeOnlineKeys", request, context)
        return pb.MakeOnlineKeysResponse()

    def RotateKeys(self, request: pb.RotateKeysRequest, context: Context) -> pb.RotateKeysResponse:
        self.heard.take("RotateKeys", request, context)
        keys = [pb.RotatedKey(role=role, key_id="ab" * 32) for role in request.roles]
        return pb.RotateKeysResponse(directory_version=8, keys=keys)

    def ChangeTrust(
        self, request: pb.ChangeTrustRequest, context: Context
    ) -> pb.ChangeTrustResponse:
        self.heard.take("ChangeTrust", request, context)
        return pb.ChangeTrustResponse(directory_version=7, root_version=1)

    def ListLog(self, request: pb.ListLogRequest, context: Context) -> pb.ListLogResponse:
        self.heard.take("ListLog", request, context)
        leaf = pb.LogLeaf(number=4, kind="file", version=2, path=request.path, sha256=b"x" * 32)
        return pb.ListLogResponse(size=5, root=b"r" * 32, leaves=[leaf])

    def ShowLogProof(
        self, request: pb.ShowLogProofRequest, context: Context
    ) -> pb.ShowLogProofResponse:
        self.heard.take("ShowLogProof", request, context)
        return pb.ShowLogProofResponse(proof=b"{}")

    def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.RevokeKeyResponse:
        self.heard.take("RevokeKey", request, context)
        return pb.RevokeKeyResponse(directory_version=8, member="ID/DAERAH/53.15")
