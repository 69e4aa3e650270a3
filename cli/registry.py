"""`simpul registry`: the central program, its members and its nodes."""

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cli import (
    doctor,
    registry_audit,
    registry_changes,
    registry_contracts,
    registry_groups,
    registry_keys,
    registry_log,
    registry_members,
    registry_nodes,
    registry_operators,
    registry_pending,
    registry_policy,
    registry_revoke,
    registry_root,
    registry_store,
    registry_subsystems,
)
from cli.key_options import HsmModule, HsmPinFile
from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import (
    print_done,
    print_hint,
    print_json,
    print_line,
    print_next,
    print_pairs,
    refusal,
    to_dict,
    when,
)
from cli.registry_options import LegalName, MemberArgument, Regions
from runtime.ports import TcpAddress, parse_address
from security.errors import Code

if TYPE_CHECKING:
    from simpul.registry.v1.admin_pb2 import CreateEnrolmentResponse, StatusResponse
    from simpul.registry.v1.admin_pb2_grpc import RegistryAdminAsyncStub

app = group("Run a federation's registry: members, nodes, the directory.")
app.add_typer(registry_members.app, name="member")
app.add_typer(registry_subsystems.app, name="subsystem")
app.add_typer(registry_nodes.app, name="node")
app.add_typer(registry_changes.app, name="change")
app.add_typer(registry_contracts.app, name="contract")
app.add_typer(registry_groups.app, name="group")
app.add_typer(registry_operators.app, name="operator")
app.add_typer(registry_pending.app, name="pending")
app.add_typer(registry_root.app, name="root")
app.add_typer(registry_keys.app, name="keys")
app.add_typer(registry_policy.app, name="policy")
registry_revoke.add_to(app)
app.add_typer(registry_log.app, name="log")
app.add_typer(registry_audit.app, name="audit")
registry_store.add_to(app)
doctor.add_to_registry(app)

SECONDS_PER_HOUR = 3_600
FREE = "none: a free port on loopback, kept"


@dataclass(frozen=True, slots=True)
class _Enrolment:
    """A token, whether it made a member, and where to go with it."""

    made: "CreateEnrolmentResponse"
    is_new: bool
    status: "StatusResponse"


@app.command(
    "init",
    epilog=examples(
        "simpul registry init --home R --federation ID",
        "simpul registry init --home R --public registry.example.go.id --grpc 0.0.0.0:8440 "
        "--directory 0.0.0.0:8439 --witness 0.0.0.0:8437",
    ),
)
def init(
    home: RegistryHomeDir,
    federation: Annotated[
        str, typer.Option(metavar="ID", help="The federation's short name, in capitals.")
    ] = "ID",
    grpc: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"Where nodes join and watch; {FREE}."),
    ] = None,
    directory: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"Where the directory is served; {FREE}."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"Where Prometheus reads; {FREE}."),
    ] = None,
    witness: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help=f"Where it witnesses journals' checkpoints; {FREE}."
        ),
    ] = None,
    public: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="The host that others reach it by; none: the one it listens on.",
        ),
    ] = "",
    member_class: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="A class of members; may be given several times. None: KEMENTERIAN, LEMBAGA, "
            "PROVINSI, DAERAH, BUMN.",
        ),
    ] = None,
    ca_key: Annotated[
        str | None,
        typer.Option(
            "--ca-key",
            metavar="URI",
            help="Take or make the authority's key in a token, on P-256: "
            "pkcs11:token=LABEL;object=LABEL.",
        ),
    ] = None,
    hsm_module: HsmModule = None,
    hsm_pin_file: HsmPinFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a registry: its keys, its certificate authority, the first directory."""
    from registry import config
    from registry.app import init as make_registry
    from registry.home import MEMBER_CLASSES, NewRegistry
    from runtime.key_stores.uri import TokenUri

    new = NewRegistry(
        federation=federation,
        grpc=_tcp(grpc, "--grpc"),
        directory=_tcp(directory, "--directory"),
        metrics=_tcp(metrics, "--metrics"),
        witness=_tcp(witness, "--witness"),
        public=public,
        member_classes=tuple(member_class) if member_class else MEMBER_CLASSES,
        authority_key=None if ca_key is None else TokenUri.parse(ca_key),
        authority_module="" if hsm_module is None else str(hsm_module.absolute()),
        authority_pin_file="" if hsm_pin_file is None else str(hsm_pin_file.absolute()),
    )
    made = make_registry(home, new)
    settings = config.load(made.settings_file, os.environ)
    row = {
        "federation": federation,
        "home": str(made.path),
        "root": str(made.root_file),
        "grpc": str(settings.grpc.listen),
        "directory": str(settings.directory.listen),
        "metrics": str(settings.metrics.listen),
    }
    if as_json:
        print_json(row)
        return
    print_pairs(row.items())
    print_done("made: its keys lie in files here, so keep the folder to yourself")
    print_next(
        f"simpul registry serve --home {home}",
        f"simpul registry enrol {federation}/DAERAH/53.15 --node NAME --home {home}",
    )


@app.command("serve", epilog=examples("simpul registry serve --home R"))
def serve(home: RegistryHomeDir) -> None:
    """Run the registry until it is stopped (Ctrl-C or SIGTERM)."""
    from registry.app import serve as serve_registry

    asyncio.run(serve_registry(home))


@app.command(
    "enrol",
    epilog=examples(
        "simpul registry enrol ID/DAERAH/53.15 --node labuan-bajo-1 --home R"
        " --name 'Kabupaten Manggarai Barat' --region 53.15",
        "TOKEN=$(simpul registry enrol ID/DAERAH/53.15 --node labuan-bajo-2 --home R)",
        "simpul registry enrol ID/DAERAH/53.16 --node labuan-bajo-1 --host --home R",
    ),
)
def enrol(
    member: MemberArgument,
    home: RegistryHomeDir,
    node: Annotated[str, typer.Option(metavar="NAME", help="The new node's name: labuan-bajo-1.")],
    legal_name: LegalName = None,
    region: Regions = None,
    host: Annotated[
        bool,
        typer.Option("--host", help="The node runs already, and is to seal for this member too."),
    ] = False,
    hours: Annotated[
        int, typer.Option(min=0, help="How long the token can be used; 0: as configured.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a one-time token with which a member's new node joins.

    A member that is not listed yet is added first, under its id where no name is given. The token
    is printed once, on stdout.
    """
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    name = member if legal_name is None else legal_name
    request = admin_pb2.CreateEnrolmentRequest(
        member=member,
        node_name=node,
        ttl_s=hours * SECONDS_PER_HOUR,
        legal_name=name,
        region_codes=region or [],
        host=host,
    )

    async def ask(stub: "RegistryAdminAsyncStub") -> _Enrolment:
        before = await stub.ListMembers(admin_pb2.ListMembersRequest())
        is_new = all(item.id != member for item in before.members)
        made = await stub.CreateEnrolment(request)
        return _Enrolment(made, is_new, await stub.Status(admin_pb2.StatusRequest()))

    done = ask_registry(home, ask)
    if as_json:
        print_json(
            {
                **to_dict(done.made),
                "member_is_new": done.is_new,
                "registry": done.status.grpc,
                "root": done.status.root_file,
            }
        )
        return
    print_line(done.made.token)
    if done.is_new:
        print_done(f"{member} is a new member, listed as {name!r}")
    print_hint(
        f"Shown once; {done.made.node} of {member} can join with it until"
        f" {when(done.made.expires_at_ms)}."
    )
    if host:
        print_next(f"simpul node host {member} --home {node} --token TOKEN")
        return
    print_next(
        f"simpul node init --home {node} --registry {done.status.grpc}"
        f" --root {done.status.root_file} --token TOKEN"
    )


@app.command("status", epilog=examples("simpul registry status --home R"))
def status(home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Show the registry's addresses, the directory's version, and how much it holds."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(home, lambda stub: stub.Status(admin_pb2.StatusRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_pairs(
        (
            ("federation", answer.federation),
            ("gRPC", answer.grpc),
            ("directory", answer.directory_url),
            ("root file", answer.root_file),
            ("metrics", answer.metrics or "-"),
            ("version", str(answer.directory_version)),
            ("members", str(answer.members)),
            ("nodes", str(answer.nodes)),
            ("services", str(answer.services)),
        )
    )


def _tcp(text: str | None, option: str) -> TcpAddress | None:
    if text is None:
        return None
    address = parse_address(text)
    if isinstance(address, TcpAddress):
        return address
    raise refusal(Code.CONFIG_INVALID, f"{option} is {text}: give HOST:PORT")
