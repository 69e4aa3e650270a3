"""`simpul node`: the program that an agency runs."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import doctor, node_certificate, node_operators, top
from cli.key_options import (
    HsmModule,
    HsmPinFile,
    IdentityKeyUri,
    KeyAlgorithm,
    SealKeyUri,
    new_keys,
)
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_hint,
    print_json,
    print_next,
    print_pairs,
    print_table,
    refusal,
    to_dict,
    when,
)
from security.errors import Code

if TYPE_CHECKING:
    from node.enrol import Enrolled
    from simpul.node.v1.admin_pb2 import StatusResponse

app = group("Set up a node, run it, and see how it does.")
doctor.add_to_node(app)
top.add_to(app)
app.add_typer(node_certificate.app, name="certificate")
app.add_typer(node_operators.app, name="operator")


MAX_ROOT_BYTES = 1024 * 1024


@app.command(
    "init",
    epilog=examples(
        "simpul node init --home N --registry 127.0.0.1:8440 --root root.json --token TOKEN",
        "simpul node init --home N --registry registry.example.go.id:8440 --root root.json"
        " --token TOKEN --listen 0.0.0.0:8442 --advertise node.example.go.id:8442",
        "simpul node init --home N --registry 127.0.0.1:8440 --root root.json --token TOKEN"
        " --seal-key 'pkcs11:token=simpul;object=seal' --hsm-module /usr/lib/p11.so"
        " --hsm-pin-file /etc/simpul/pin",
    ),
)
def init(
    home: NodeHomeDir,
    registry: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="The registry's gRPC address, or several."),
    ],
    root: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The federation's root.json, from the registry's operator.",
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            envvar="SIMPUL_ENROLMENT_TOKEN",
            help="The one-time token, from the registry's operator.",
        ),
    ],
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where other nodes connect; none: port 8442, or a free one on loopback.",
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="The same, as other nodes see it; none: as it is here."
        ),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where apps connect; none: port 8441, or a free one."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where Prometheus reads; none: port 8443, or a free one."
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, help="Journals, which bound the workers; none: as many as cores."),
    ] = None,
    seal_key: SealKeyUri = None,
    identity_key: IdentityKeyUri = None,
    key_algorithm: KeyAlgorithm = "ed25519",
    hsm_module: HsmModule = None,
    hsm_pin_file: HsmPinFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a node's keys and join it to a federation.

    Compare the fingerprint that is shown with the registry's operator, by voice.
    """
    from cli.addresses import choose
    from node.enrol import EnrolOptions, enrol
    from runtime.clock import now_ms

    found = choose(registry, listen=listen, advertise=advertise, gateway=gateway, metrics=metrics)
    options = EnrolOptions(
        home=home,
        registry=registry,
        root=_read_root(root),
        token=token,
        slots=(os.cpu_count() or 1) if slots is None else slots,
        link_listen=found.listen,
        link_advertise=found.advertise,
        gateway_listen=found.gateway,
        metrics_listen=found.metrics,
        keys=new_keys(
            identity=identity_key,
            seal=seal_key,
            of=key_algorithm,
            module=hsm_module,
            pin_file=hsm_pin_file,
        ),
    )
    joined = asyncio.run(enrol(options, now_ms))
    row = _joined(joined, found.gateway, found.advertise)
    if as_json:
        print_json(row)
        return
    shown = ("node", "member", "gateway", "link", "fingerprint")
    print_pairs((name, str(row[name])) for name in shown)
    if joined.asked:
        print_done("joined: the member's other node must list this one before it can seal")
        print_next(
            f"simpul member approve {row['member']} {row['node']}"
            f" --fingerprint {row['fingerprint'] or 'FINGERPRINT'} --home THERE"
        )
    else:
        print_done("joined: compare the fingerprint with the registry's operator, by voice")
    if joined.fault is not None:
        print_hint(f"The directory is not here yet, it comes at the start: {joined.fault.message}")
    print_next(f"simpul node serve --home {home}")


@app.command("serve", epilog=examples("simpul node serve --home N"))
def serve(home: NodeHomeDir) -> None:
    """Run the node until it is stopped (Ctrl-C or SIGTERM).

    Stopped, it begins no more calls, and gives those under way 10 s to end; then it cuts them off.
    """
    from node.supervisor import serve as serve_node

    asyncio.run(serve_node(home))


@app.command(
    "host",
    epilog=examples("simpul node host ID/DAERAH/53.16 --token TOKEN --home N"),
)
def host(
    member: Annotated[
        str, typer.Argument(metavar="MEMBER", help="The further member: ID/DAERAH/53.16.")
    ],
    home: NodeHomeDir,
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            envvar="SIMPUL_ENROLMENT_TOKEN",
            help="From the registry's operator: simpul registry enrol MEMBER --node NAME --host.",
        ),
    ],
    seal_key: SealKeyUri = None,
    identity_key: IdentityKeyUri = None,
    key_algorithm: KeyAlgorithm = "ed25519",
    as_json: AsJson = False,
) -> None:
    """Have a node that is stopped seal for a further member, with keys of its own."""
    from node.home import NodeHome
    from node.hosting import host as host_member
    from runtime.clock import now_ms
    from security.token import parse_token

    if str(parse_token(token).member) != member:
        raise refusal(
            Code.REQUEST_MALFORMED, f"the token is for another member than {member}: look again"
        )
    keys = new_keys(identity=identity_key, seal=seal_key, of=key_algorithm)
    done = asyncio.run(host_member(NodeHome.open(home), token, now_ms, keys))
    if as_json:
        print_json(
            {
                "node": str(done.token.node),
                "member": member,
                "fingerprint": done.fingerprint,
                "asked": done.asked,
                "directory_version": done.version,
            }
        )
        return
    print_pairs((("node", str(done.token.node)), ("fingerprint", done.fingerprint or "-")))
    if done.asked:
        print_done(f"{member} is hosted here when its other node lists this one")
    else:
        print_done(f"{member} is hosted here: compare the fingerprint with the registry's operator")
    print_next(f"simpul node serve --home {home}")


@app.command("address", epilog=examples("simpul node address node.example.go.id:8442 --home N"))
def address(
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="Where other nodes reach this one.")
    ],
    home: NodeHomeDir,
    as_json: AsJson = False,
) -> None:
    """Tell other nodes another address of this one; links that are up stay up."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.SetLinkAddressRequest(address=address)
    answer = ask_node(home, lambda stub: stub.SetLinkAddress(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_done(f"the directory says {address} since version {answer.directory_version}")


@app.command("rotate-key", epilog=examples("simpul node rotate-key --home N"))
def rotate_key(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Replace the node's own key, which signs its greetings; nothing stops."""
    from cli.member import rotate
    from simpul.node.v1 import admin_pb2

    answer = rotate(home, admin_pb2.KEY_KIND_NODE)
    if as_json:
        print_json(to_dict(answer))
        return
    print_done(f"the node's key is {answer.key_id.hex()[:16]} now")


@app.command("withdraw", epilog=examples("simpul node withdraw 1764000000000 --home N"))
def withdraw(
    number: Annotated[
        int, typer.Argument(metavar="NUMBER", help="The number that APPROVAL_PENDING named.")
    ],
    home: NodeHomeDir,
) -> None:
    """Take back a change that waits for the registry's operator."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.WithdrawChangeRequest(number=number)
    ask_node(home, lambda stub: stub.WithdrawChange(request))
    print_done(f"change {number} is withdrawn")


@app.command("status", epilog=examples("simpul node status --home N", "simpul node status --json"))
def status(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Show the node's addresses, its directory, its workers and its links."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.Status(admin_pb2.StatusRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    _print_status(answer)


def _print_status(answer: "StatusResponse") -> None:
    print_pairs(
        (
            ("node", answer.node),
            ("members", listed(answer.members)),
            ("gateway", answer.gateway),
            ("link", answer.link),
            ("metrics", answer.metrics or "-"),
            ("directory", f"version {answer.directory_version}"),
            ("issued", when(answer.directory_issued_at_ms)),
            ("workers", f"{answer.workers_ready} ready"),
            ("links", str(len(answer.links))),
        )
    )
    if answer.foreign_keys:
        print_table(
            ("KEY NOT MADE HERE", "KIND", "MEMBER", "NODE"),
            (
                (key.key_id.hex()[:16], key.kind, key.member, key.node or "-")
                for key in answer.foreign_keys
            ),
            empty="",
        )
    if not answer.links:
        return
    print_table(
        ("PEER", "DIALLED BY", "SENT", "RECEIVED", "LINK_ID"),
        (
            (
                link.peer,
                "us" if link.dialled else "them",
                str(link.parcels_sent),
                str(link.parcels_received),
                link.link_id.hex(),
            )
            for link in answer.links
        ),
        empty="",
    )


def _joined(joined: "Enrolled", gateway: str, link: str) -> dict[str, object]:
    return {
        "node": str(joined.token.node),
        "member": str(joined.token.member),
        "home": str(joined.home.path),
        "gateway": gateway,
        "link": link,
        "fingerprint": joined.fingerprint,
        "asked": joined.asked,
        "directory_version": None if joined.generation is None else joined.generation.version,
    }


def _read_root(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(MAX_ROOT_BYTES + 1)
    if not data or len(data) > MAX_ROOT_BYTES:
        raise refusal(
            Code.ROOT_MISMATCH, f"{file} is empty or over {MAX_ROOT_BYTES} bytes: no root.json"
        )
    return data
