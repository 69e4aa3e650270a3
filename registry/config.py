"""`registry.toml`: each setting, its default, its unit. `SIMPUL_REGISTRY__…` overrides a key."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import Field

from registry.similarity.compare import THRESHOLD
from runtime import config
from runtime.config import ListenTcp, Section
from runtime.key_stores.store import KeyStore
from runtime.log import Form, Level
from runtime.ports import LOOPBACK, TcpAddress

PREFIX: Final = "SIMPUL_REGISTRY__"

_URL: Final = r"https?://[^/,]+(/[^?#,]*[^/?#,])?"
_URLS: Final = f"^({_URL}(,{_URL})*)?$"


class GrpcSection(Section):
    """Where nodes enrol, ask for changes and watch, over TLS."""

    listen: ListenTcp = Field(TcpAddress(LOOPBACK, 0), description="Port 0 takes a free one.")
    public: str = Field(
        "",
        description="HOST:PORT that nodes are told, or several with commas between; empty: what is "
        "bound.",
    )
    max_watchers: int = Field(5_000, ge=1, description="Nodes that watch at once.")


class DirectorySection(Section):
    """The static server over the published folder, and when it is published."""

    listen: ListenTcp = Field(TcpAddress(LOOPBACK, 0), description="Port 0 takes a free one.")
    public_url: str = Field(
        "",
        pattern=_URLS,
        description="Base URL that nodes are told, this server's or a mirror's, or several with "
        "commas between; empty: its own.",
    )
    heartbeat_s: float = Field(
        60.0, ge=0.1, le=600, description="An unchanged directory is signed anew so often."
    )
    coalesce_s: float = Field(
        0.1, ge=0, le=10, description="Changes closer than this are published together."
    )


class AdminSection(Section):
    """Where operators work from elsewhere, over mutual TLS. The Unix socket is always there."""

    listen: ListenTcp | None = Field(None, description="Empty: not at all.")
    public: str = Field("", description="HOST:PORT that operators are told; empty: what is bound.")


class WitnessSection(Section):
    """Where nodes have their journals' checkpoints cosigned (C2SP tlog-witness)."""

    listen: ListenTcp = Field(TcpAddress(LOOPBACK, 0), description="Port 0 takes a free one.")


class MetricsSection(Section):
    """For Prometheus."""

    listen: ListenTcp = Field(TcpAddress(LOOPBACK, 0), description="Port 0 takes a free one.")


class TokensSection(Section):
    """Enrolment tokens."""

    life_s: int = Field(
        7 * 24 * 60 * 60, ge=1, le=90 * 24 * 60 * 60, description="Unless the operator says less."
    )


Decider = Literal["automatic", "operator"]
Dangerous = Literal[
    "remove_member", "revoke_node", "change_operators", "change_groups", "rotate_root",
    "change_policy",
]  # fmt: skip


class ApprovalsSection(Section):
    """Who decides what nodes ask for: at once by the rules alone, or an operator after them."""

    publish_service: Decider = Field(
        "automatic", description="A service, and its subsystem where it is new."
    )
    withdraw_service: Decider = Field("automatic", description="A service that ends.")
    put_activity: Decider = Field(
        "automatic", description="A version of a member's purpose, in its register."
    )
    set_link_address: Decider = Field("automatic", description="Another address of a node.")
    replace_statement: Decider = Field(
        "automatic", description="A member's next statement: its keys and its nodes."
    )
    host_member: Decider = Field(
        "automatic", description="A further member on a node, beside the token for it."
    )
    replace_node_key: Decider = Field("automatic", description="A new key of a node.")
    publish_contract: Decider = Field(
        "automatic",
        description="A contract's revision. One much like another's is always an operator's.",
    )
    set_contract: Decider = Field(
        "automatic",
        description="A contract's other terms. To recommend one is always an operator's.",
    )

    two_persons: tuple[Dangerous, ...] = Field(
        (
            "remove_member",
            "revoke_node",
            "change_operators",
            "change_groups",
            "rotate_root",
            "change_policy",
        ),
        description="What operators do only in twos, once there are two who may.",
    )

    @property
    def decided_by_operators(self) -> frozenset[str]:
        """The kinds of change that wait for an operator."""
        return frozenset(
            kind for kind in type(self).model_fields if getattr(self, kind) == "operator"
        )


class ContractsSection(Section):
    """When a new contract is too much like one that is there."""

    close_at: float = Field(
        THRESHOLD,
        gt=0,
        le=1,
        description="From this likeness on, 0 to 1, its publisher says why not, and an operator "
        "decides.",
    )


class AuthoritySection(Section):
    """The built-in certificate authority."""

    passphrase_file: str = Field(
        "", description="Its first line opens ca/authority.pem, where that is encrypted."
    )
    module: str = Field(
        "",
        description="The PKCS#11 library of the token that holds its key; none: it is in a file. "
        "Needs the extra simpul[hsm].",
    )
    pin_file: str = Field(
        "",
        description="Its first line is the token's PIN. Before it comes systemd's credential "
        "simpul-hsm-pin, after it the variable SIMPUL_HSM_PIN.",
    )


class DatabaseSection(Section):
    """Where members, nodes and contracts are kept."""

    url: str = Field(
        "",
        description="postgresql+psycopg://USER@HOST/DATABASE, which several registries may share; "
        "empty: registry.db in the home folder.",
    )


class LogSection(Section):
    """Logs go to stderr."""

    level: Level = Field("info", description="The least that is written.")
    form: Form = Field("auto", description="auto: for people on a terminal, JSON otherwise.")


class RegistryConfig(Section):
    """The whole file."""

    federation: str = Field(description="ID")
    grpc: GrpcSection = GrpcSection()
    directory: DirectorySection = DirectorySection()
    admin: AdminSection = AdminSection()
    witness: WitnessSection = WitnessSection()
    metrics: MetricsSection = MetricsSection()
    tokens: TokensSection = TokensSection()
    approvals: ApprovalsSection = ApprovalsSection()
    contracts: ContractsSection = ContractsSection()
    authority: AuthoritySection = AuthoritySection()
    database: DatabaseSection = DatabaseSection()
    log: LogSection = LogSection()


def load(file: Path, env: Mapping[str, str]) -> RegistryConfig:
    """Reads `registry.toml` with what the environment overrides.

    Raises:
        SimpulError: CONFIG_INVALID, one line.
    """
    return config.load(RegistryConfig, file, env, PREFIX)


class Listening(NamedTuple):
    """Where a registry's servers listen."""

    grpc: TcpAddress
    directory: TcpAddress
    witness: TcpAddress
    metrics: TcpAddress


def first_file(federation: str, listening: Listening, public: str = "") -> str:
    """The text of a new registry's file: what differs from one registry to the next.

    `public` is the host that others reach it by; empty: where it listens.
    """
    grpc, directory, witness, metrics = listening
    told = f'public = "{TcpAddress(public, grpc.port)}"\n' if public else ""
    url = f'public_url = "http://{TcpAddress(public, directory.port)}"\n' if public else ""
    return f"""\
# This registry's settings. Every key can be overridden by the environment:
# {config.variable(PREFIX, "grpc.listen")} for grpc.listen.
federation = "{federation}"

[grpc]
listen = "{grpc}"
{told}
[directory]
listen = "{directory}"
{url}
[witness]
listen = "{witness}"

[metrics]
listen = "{metrics}"
"""


def authority_section(module: str, pin_file: str) -> str:
    """The text of `[authority]` for a key in a token."""
    # A JSON text is a TOML one too.
    lines = [("module", module), ("pin_file", pin_file)]
    said = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines if value)
    return f"\n[authority]\n{said}"


def authority_store(settings: RegistryConfig, env: Mapping[str, str]) -> KeyStore:
    """What opens the authority's key, where that is in a token."""
    return KeyStore.configured(settings.authority.module, settings.authority.pin_file, "", env)
