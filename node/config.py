"""A node's configuration: `node.toml`, read strictly, every key overridable by environment.

`SIMPUL_NODE__GATEWAY__LISTEN` overrides `gateway.listen` (see `runtime.config`). It holds no
secret: keys are files of the home. Defaults are those of one node on one machine; what is refused
by default stays refused until somebody writes otherwise here.
"""

import ipaddress
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from node.home import NodeHome
from node.journal.period import parse_period
from node.journal.place import SQLITE, Place, parse_place
from runtime.config import ListenAddress, ListenTcp, Section, load
from runtime.files import write_durably
from runtime.ports import Address, TcpAddress, UnixAddress
from security.directory_records import MAX_SLOTS
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, SubsystemId

ENV_PREFIX = "SIMPUL_NODE__"
KIB = 1024
MIB = 1024 * KIB


def _node_id(text: str) -> str:
    return _checked(NodeId, text)


def _member_id(text: str) -> str:
    return _checked(MemberId, text)


def _subsystem_id(text: str) -> str:
    return _checked(SubsystemId, text)


def _checked(kind: type[NodeId] | type[MemberId] | type[SubsystemId], text: str) -> str:
    try:
        return str(kind.parse(text))
    except SimpulError as error:
        raise ValueError(error.message) from error


def _period(text: str) -> str:
    if text != "":
        try:
            parse_period(text)
        except SimpulError as error:
            raise ValueError(error.message) from error
    return text


def _cores() -> int:
    return os.cpu_count() or 1


class NodeSection(Section):
    """Who the node is. Set by `simpul node init`."""

    id: Annotated[str, AfterValidator(_node_id)] = Field(
        description="The node's id, ID/~labuan-bajo-1."
    )
    members: tuple[Annotated[str, AfterValidator(_member_id)], ...] = Field(
        min_length=1, description="The members that this node hosts."
    )
    workers: PositiveInt = Field(
        default=1, le=256, description="Worker processes; no more than journal.slots."
    )


class RegistrySection(Section):
    """Where the registry is. Set by `simpul node init`."""

    address: str = Field(description="HOST:PORT of its gRPC port; several with commas between.")
    directory_url: str = Field(
        pattern=r"^https?://[^\s?#,]+(\s*,\s*https?://[^\s?#,]+)*$",
        description="Where the directory's files are served; several with commas between are tried "
        "in this order.",
    )
    certificate_sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the certificate that its gRPC port shows, in hex.",
    )
    refresh_s: PositiveInt = Field(
        default=60, le=3600, description="Seconds between looks at the directory's URL."
    )


class GatewaySection(Section):
    """Where this node's apps call."""

    listen: ListenAddress = Field(
        default=TcpAddress("127.0.0.1", 8441), description="The address for apps."
    )
    certificate: str | None = Field(
        default=None,
        description="PEM file of the gateway's TLS certificate and its issuers; relative to the "
        "home. With it apps may prove themselves by client certificates. None: plaintext.",
    )
    key: str | None = Field(
        default=None, description="PEM file of the certificate's private key; relative to the home."
    )
    plaintext_beyond_this_machine: bool = Field(
        default=False,
        description="Lets apps on other machines call without TLS: their tokens travel in the "
        "clear. Only where the network itself is encrypted.",
    )


class LinkSection(Section):
    """Where other nodes open links."""

    listen: ListenTcp = Field(
        default=TcpAddress("0.0.0.0", 8442),  # noqa: S104  (other nodes come from everywhere)
        description="The address that the node listens on.",
    )
    advertise: ListenTcp = Field(
        description="The address that the directory tells other nodes, HOST:PORT."
    )


class MetricsSection(Section):
    """Where Prometheus reads."""

    listen: ListenTcp = Field(
        default=TcpAddress("127.0.0.1", 8443), description="The address for metrics."
    )


class JournalSection(Section):
    """The record of every parcel."""

    url: str = Field(
        default=SQLITE,
        description="Where it is: sqlite (HOME/journal.db), or postgresql://USER@HOST/DATABASE.",
    )
    slots: PositiveInt = Field(
        default_factory=_cores,
        le=MAX_SLOTS,
        description="Journals with a tree of their own, listed in the directory; default: cores.",
    )
    checkpoint_s: float = Field(
        default=8.0, gt=0, le=10, description="A slot that grew is signed so often, in seconds."
    )
    secret_metadata: tuple[Annotated[str, Field(pattern=r"^[0-9a-z_.-]+$")], ...] = Field(
        default=(),
        description="Metadata keys that are never kept, besides authorization, cookie and the like "
        "(docs/spec, Journal: payloads).",
    )
    erase_on_notice: bool = Field(
        default=False,
        description="Whether a call is erased here as soon as the other side says that it erased "
        "it; otherwise an operator is shown the notice.",
    )
    retention: Annotated[str, AfterValidator(_period)] = Field(
        default="",
        description="How long parcels and their content stay, like 400 days; none: for good. "
        "Parcels go only once they are archived.",
    )
    archive: str = Field(
        default="",
        description="Where archives are kept: a folder, or s3://BUCKET/PREFIX; none: nothing is "
        "archived. Credentials are never here.",
    )
    archive_after: Annotated[str, AfterValidator(_period)] = Field(
        default="7 days", description="Parcels are archived when they are so old."
    )
    salts_retention: Annotated[str, AfterValidator(_period)] = Field(
        default="",
        description="How long the salts of archived calls stay, by which content can be proven; "
        "none: for good.",
    )
    drop_unarchived: bool = Field(
        default=False,
        description="Without journal.archive: parcels older than journal.retention are deleted "
        "for good.",
    )
    upkeep_s: float = Field(
        default=3600.0, gt=0, description="Archiving and dropping are begun so often, in seconds."
    )


class WitnessSection(Section):
    """Where this node cosigns other nodes' checkpoints, if it does (C2SP tlog-witness)."""

    listen: ListenTcp | None = Field(
        default=None, description="The address for their requests; none: it is no witness."
    )


class DirectorySection(Section):
    """Where this node gives its copy of the directory to other nodes, if it does."""

    listen: ListenTcp | None = Field(
        default=None,
        description="The address; other nodes add http://HOST:PORT to registry.directory_url, and "
        "fetch from here while the registry is out of reach. None: it gives none.",
    )


class LimitsSection(Section):
    """What one call may take. The federation's policy may be stricter."""

    max_message_bytes: PositiveInt = Field(
        default=16 * MIB, le=64 * MIB, description="The largest gRPC message, in bytes."
    )
    max_metadata_bytes: PositiveInt = Field(
        default=64 * KIB, le=64 * KIB, description="All metadata of a request or answer, in bytes."
    )


class ServicesSection(Section):
    """How this node reaches the services behind it."""

    ca_file: str | None = Field(
        default=None,
        description="PEM file of the authorities that services at https:// targets must be "
        "certified by; relative to the home. None: those that the machine trusts.",
    )
    certificate: str | None = Field(
        default=None,
        description="PEM file of the certificate, with its issuers, that the node shows to "
        "services; relative to the home. None: the one that the federation gave it.",
    )
    key: str | None = Field(
        default=None,
        description="PEM file of that certificate's private key; relative to the home.",
    )
    max_calls: PositiveInt = Field(
        default=15_000,
        description="Calls that one worker has under way at one target; more are refused. One "
        "worker carries 20,000 in all.",
    )


class AppsSection(Section):
    """How apps prove themselves."""

    loopback_subsystem: Annotated[str, AfterValidator(_subsystem_id)] | None = Field(
        default=None,
        description="The one subsystem for apps on this machine that show no credential; "
        "none: they are refused.",
    )


class KeysSection(Section):
    """How the keys in HOME/keys are opened: those in tokens, and encrypted ones."""

    module: str = Field(
        default="",
        description="The PKCS#11 library of the token that holds keys, an HSM's or SoftHSM2's "
        "libsofthsm2.so; none: no key is in a token. Needs the extra simpul[hsm].",
    )
    pin_file: str = Field(
        default="",
        description="Its first line is the token's PIN; relative to the home. Before it comes "
        "systemd's credential simpul-hsm-pin, after it the variable SIMPUL_HSM_PIN.",
    )
    passphrase_file: str = Field(
        default="",
        description="Its first line opens and closes key files; relative to the home. Before it "
        "comes systemd's credential simpul-key-passphrase, after it SIMPUL_KEY_PASSPHRASE.",
    )
    variables: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = Field(
        default=("SOFTHSM2_CONF",),
        description="Variables of the environment that the token's library reads: workers get "
        "these, too.",
    )


class AgreementsSection(Section):
    """What the node does with agreements that providers offer."""

    countersign: Literal["auto", "ask"] = Field(
        default="auto",
        description="auto: sign those that name a member hosted here as the consumer; "
        "ask: an operator decides (`simpul access inbox`).",
    )
    identity_keys: Literal["nodes", "elsewhere"] = Field(
        default="nodes",
        description="nodes: proposals wait at the node that holds the member's identity key; "
        "elsewhere: they wait here, and what is agreed is signed on another machine "
        "(`simpul access export-for-signing`).",
    )
    siblings_within_s: NonNegativeInt = Field(
        default=60,
        le=86_400,
        description="A member's calls are refused here when one of its other active nodes has not "
        "been heard from for so many seconds: it may know of a revocation. 0: never.",
    )
    share_percent: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="This node's part of every agreement's rate and quota, where its member has "
        "several nodes; none: the same for each node that the directory lists.",
    )


class OperatorsSection(Section):
    """Users of this machine who work for members (`simpul node operator add`)."""

    socket: str | None = Field(
        default=None,
        pattern=r"^/.{1,100}$",
        description="A Unix socket where they call, in a folder that they can reach: "
        "/run/simpul/labuan-bajo.sock. None: only whoever runs the node operates it.",
    )

    @property
    def path(self) -> Path | None:
        """Where it is."""
        return None if self.socket is None else Path(self.socket)


class ConsentSection(Section):
    """Where consents are, for purposes that rest on them."""

    verifier: str | None = Field(
        default=None,
        description="The agency's own register of consents (simpul.v1.ConsentVerifier): "
        "https://HOST:PORT, unix:PATH, or HOST:PORT on this machine. None: this node keeps them "
        "(`simpul consent record`).",
    )
    timeout_ms: PositiveInt = Field(
        default=1000, le=10_000, description="A consent that isn't affirmed in time is refused."
    )


class LogSection(Section):
    """What the node says of its work."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )
    form: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, otherwise JSON lines."
    )


class TracingSection(Section):
    """The node's own spans in its callers' traces (OpenTelemetry)."""

    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="A collector's URL for OTLP over HTTP, http://127.0.0.1:4318/v1/traces; "
        "none: off. Needs the extra simpul[tracing].",
    )
    sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Of calls whose app sends no traceparent, the part that is traced.",
    )


class NodeConfig(Section):
    """All of `node.toml`."""

    node: NodeSection
    registry: RegistrySection
    gateway: GatewaySection = GatewaySection()
    link: LinkSection
    metrics: MetricsSection = MetricsSection()
    journal: JournalSection = JournalSection()
    witness: WitnessSection = WitnessSection()
    directory: DirectorySection = DirectorySection()
    limits: LimitsSection = LimitsSection()
    services: ServicesSection = ServicesSection()
    apps: AppsSection = AppsSection()
    agreements: AgreementsSection = AgreementsSection()
    operators: OperatorsSection = OperatorsSection()
    consent: ConsentSection = ConsentSection()
    keys: KeysSection = KeysSection()
    tracing: TracingSection = TracingSection()
    log: LogSection = LogSection()

    @property
    def node_id(self) -> NodeId:
        """The node's id."""
        return NodeId.parse(self.node.id)

    @property
    def federation(self) -> str:
        """The federation that the node belongs to."""
        return self.node_id.federation

    @property
    def member_ids(self) -> tuple[MemberId, ...]:
        """The members that this node hosts."""
        return tuple(MemberId.parse(text) for text in self.node.members)

    @property
    def loopback_subsystem(self) -> SubsystemId | None:
        """Whom apps without a credential act for, on this machine."""
        text = self.apps.loopback_subsystem
        return None if text is None else SubsystemId.parse(text)


def journal_place(config: NodeConfig, home: NodeHome) -> Place:
    """Where the journal of the node at `home` is.

    Raises:
        SimpulError: CONFIG_INVALID.
    """
    return parse_place(config.journal.url, home.journal)


def load_config(home: NodeHome, env: Mapping[str, str]) -> NodeConfig:
    """Reads a home's configuration, with what `env` overrides.

    Raises:
        SimpulError: CONFIG_INVALID, one line with the key.
    """
    config = load(NodeConfig, home.config, env, ENV_PREFIX)
    if config.node.workers > config.journal.slots:
        raise _invalid(
            "node.workers",
            f"{config.node.workers} workers need as many journal.slots, and there are "
            f"{config.journal.slots}: raise the one or lower the other",
        )
    _check_gateway(config.gateway, home)
    journal_place(config, home)
    _check_journal(config.journal)
    for member in config.member_ids:
        if member.federation != config.federation:
            raise _invalid("node.members", f"{member} is not of federation {config.federation}")
    loopback = config.loopback_subsystem
    if loopback is not None and loopback.member not in config.member_ids:
        raise _invalid(
            "apps.loopback_subsystem", f"{loopback} is not of a member that this node hosts"
        )
    return config


def _check_journal(journal: JournalSection) -> None:
    if journal.drop_unarchived and journal.archive != "":
        raise _invalid(
            "journal.drop_unarchived",
            "journal.archive is set: what isn't archived is never dropped",
        )
    if journal.drop_unarchived and journal.retention == "":
        raise _invalid("journal.drop_unarchived", "say after how long: set journal.retention")


def _check_gateway(gateway: GatewaySection, home: NodeHome) -> None:
    if (gateway.certificate is None) != (gateway.key is None):
        raise _invalid("gateway.certificate", "gateway.key belongs with it: set both, or neither")
    for key, file in (("certificate", gateway.certificate), ("key", gateway.key)):
        if file is not None and not (home.path / file).is_file():
            raise _invalid(f"gateway.{key}", f"{home.path / file} is no file")
    if (
        gateway.certificate is None
        and not gateway.plaintext_beyond_this_machine
        and not _is_on_this_machine(gateway.listen)
    ):
        raise _invalid(
            "gateway.listen",
            f"{gateway.listen} is reached from other machines, and without TLS the apps' tokens "
            "would travel in the clear: set gateway.certificate and gateway.key",
        )


def _is_on_this_machine(address: Address) -> bool:
    if isinstance(address, UnixAddress) or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def write_config(file: Path, values: Mapping[str, Mapping[str, object]]) -> None:
    """Writes a new `node.toml`: sections of keys, text, numbers or lists. None is left out."""
    lines = [
        "# A Simpul node. docs/reference has every key; unknown ones are refused.",
    ]
    for section, keys in values.items():
        lines += ["", f"[{section}]"]
        # A JSON text, number or list of texts is a TOML one too.
        lines += [
            f"{key} = {json.dumps(value, ensure_ascii=False)}"
            for key, value in keys.items()
            if value is not None
        ]
    write_durably(file, ("\n".join(lines) + "\n").encode())


def _invalid(key: str, message: str) -> SimpulError:
    return SimpulError(Code.CONFIG_INVALID, f"{key}: {message}", key=key)
