"""`simpul registry root`: root and policy keys, on other machines and in several hands.

`init` and `rotate` propose the next root, `sign` adds a signature on whatever machine a key is on,
`publish` gives the registry what enough have signed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import ceremony
from cli.ceremony import KeyFile, Out, ProposalFile, Yes
from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_hint, print_json, print_line, print_next, refusal
from runtime.clock import now_ms
from security.errors import Code

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from registry.directory.layout import Role
    from registry.directory.proposals import Keys, Proposal

app = group("Keep root and policy under keys that lie elsewhere, m of n: make, sign, rotate.")

HolderFiles = Annotated[
    list[Path],
    typer.Option(
        "--holder", metavar="FILE", help="A holder's .pub file; given once for each holder."
    ),
]
Threshold = Annotated[int, typer.Option(min=1, help="How many of them it takes to sign.")]


@app.command(
    "key", epilog=examples("simpul registry root key 'Anna, Kominfo' --out /media/stick/anna.pem")
)
def root_key(
    holder: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is; all will read it.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The private key; FILE.pub beside it.")
    ],
) -> None:
    """On a holder's machine: make a key that stays there, and a .pub file to hand over."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    from registry.directory.proposals import holder_key
    from runtime.files import create_private, write_durably

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    made = holder_key(public, holder)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown = out.with_name(out.name + ceremony.PUBLIC_SUFFIX)
    try:
        create_private(out, pem)
        card = {"holder": holder, "public_key": public.decode()}
        write_durably(shown, json.dumps(card, indent=1).encode() + b"\n")
    except FileExistsError as error:
        raise refusal(
            Code.ALREADY_EXISTS, f"{out} is there already: choose another file"
        ) from error
    except OSError as error:
        raise refusal(Code.NOT_FOUND, f"{out} can't be written ({error.strerror})") from error
    print_line(str(shown))
    print_hint(f"Key id {made.keyid[:16]}: read it out when the root is proposed.")
    print_next(
        f"openssl pkcs8 -topk8 -scrypt -in {out} -out {out}.enc && shred -u {out}  # a passphrase"
    )


@app.command(
    "init",
    epilog=examples(
        "simpul registry root init --holder anna.pem.pub --holder budi.pem.pub"
        " --holder citra.pem.pub --threshold 2 --home R --out root-2.json"
    ),
)
def root_init(
    holder: HolderFiles,
    threshold: Threshold,
    home: RegistryHomeDir,
    out: Out,
    as_json: AsJson = False,
) -> None:
    """Propose to put root and policy under holders' keys, in place of those in the registry's home.

    Where the home is on this machine, its own root key signs at once. It is destroyed when the new
    root is in force.
    """
    from registry.directory import proposals, signers
    from registry.directory.layout import Role

    keys = proposals.Keys(tuple(map(ceremony.read_holder, holder)), threshold)
    shown = ceremony.fetch(home)
    listed = proposals.keys_of(proposals.parse_root(shown.root), Role.ROOT)
    if any(proposals.HOLDER in key.unrecognized_fields for key in listed.keys):
        raise refusal(
            Code.CONFLICT, "root is in its holders' hands already: use simpul registry root rotate"
        )
    changes = {Role.ROOT: keys, Role.TARGETS: keys}
    made = proposals.propose_root(shown.root, changes, now_ms(), shown.targets, shown.policy)
    own = signers.key_file(home / "keys", Role.ROOT)
    if own.is_file():
        made = proposals.sign(made, ceremony.read_signer(own))
    _propose(made, out, as_json=as_json)


@app.command(
    "rotate",
    epilog=examples(
        "simpul registry root rotate --home R --out root-3.json",
        "simpul registry root rotate --remove Citra --add d.pem.pub --home R --out root-3.json",
        "simpul registry root rotate --online --home R --out root-3.json",
    ),
)
def root_rotate(
    home: RegistryHomeDir,
    out: Out,
    add: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A new holder's .pub file.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A holder who signs no more.")
    ] = None,
    threshold: Annotated[
        int, typer.Option(min=0, help="How many it takes from then on; 0: as before.")
    ] = 0,
    policy_only: Annotated[
        bool, typer.Option("--policy-only", help="Change who signs the policy, and not root.")
    ] = False,
    root_only: Annotated[
        bool, typer.Option("--root-only", help="Change who signs root, and not the policy.")
    ] = False,
    online: Annotated[
        bool,
        typer.Option(
            "--online", help="New keys for snapshot and timestamp: where theirs were captured."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Propose the next root: other holders, other online keys, or the same for another year."""
    from registry.directory import proposals
    from registry.directory.layout import Role

    shown = ceremony.fetch(home)
    root = proposals.parse_root(shown.root)
    changes: dict[Role, Keys] = {}
    if add or remove or threshold:
        added = tuple(map(ceremony.read_holder, add or ()))
        roles = [Role.ROOT] * (not policy_only) + [Role.TARGETS] * (not root_only)
        for role in roles:
            before = proposals.keys_of(root, role)
            keys = (*_without(before.keys, remove or ()), *added)
            changes[role] = proposals.Keys(keys, threshold or before.threshold)
    if online:
        changes |= _online_keys(home)
    made = proposals.propose_root(shown.root, changes, now_ms(), shown.targets, shown.policy)
    _propose(made, out, as_json=as_json)


@app.command("show", epilog=examples("simpul registry root show root-2.json"))
def root_show(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A proposal; none: what is in force.")
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", envvar="SIMPUL_HOME", metavar="DIR", help="The registry's home folder."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a proposal and who has signed it; or who signs what by the root in force."""
    if file is not None:
        ceremony.show_file(file, as_json=as_json)
        return
    if home is None:
        raise refusal(Code.HOME_MISSING, "give a proposal's file, or the registry with --home")
    shown = ceremony.fetch(home)
    if as_json:
        print_json(json.loads(shown.root)["signed"])
        return
    ceremony.print_root(shown.root)


@app.command("sign", epilog=examples("simpul registry root sign root-2.json --key anna.pem"))
def root_sign(file: ProposalFile, key: KeyFile, yes: Yes = False, as_json: AsJson = False) -> None:
    """On a holder's machine: read what is proposed, and add your signature to the file."""
    ceremony.sign_file(file, key, yes=yes, as_json=as_json)


@app.command("merge", epilog=examples("simpul registry root merge a.json b.json --out root-2.json"))
def root_merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Copies of one proposal.")],
    out: Out,
    as_json: AsJson = False,
) -> None:
    """Put the signatures of several copies of a proposal into one, where they were signed apart."""
    ceremony.merge_files(files, out, as_json=as_json)


@app.command("publish", epilog=examples("simpul registry root publish root-2.json --home R"))
def root_publish(file: ProposalFile, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Put in force what enough have signed. Nodes follow by themselves."""
    ceremony.publish_file(file, home, as_json=as_json)


def _propose(made: "Proposal", out: Path, *, as_json: bool) -> None:
    ceremony.write_proposal(out, made, is_new=True)
    ceremony.print_needs(made, as_json=as_json)
    if not as_json:
        print_done(f"proposed in {out}: carry it to those who are to sign")
        print_next(
            f"simpul registry root sign {out} --key KEY  # at each holder",
            f"simpul registry root publish {out} --home R",
        )


def _without(keys: "Sequence[Key]", names: Sequence[str]) -> "list[Key]":
    from registry.directory.proposals import holder_of

    known = {holder_of(key) for key in keys}
    for name in names:
        if name not in known:
            raise refusal(
                Code.NOT_FOUND, f"{name} signs nothing now: it is one of {', '.join(sorted(known))}"
            )
    return [key for key in keys if holder_of(key) not in names]


def _online_keys(home: Path) -> "dict[Role, Keys]":
    from cli.admin import ask_registry
    from registry.directory import proposals
    from registry.directory.layout import Role
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.MakeOnlineKeysRequest()
    answer = ask_registry(home, lambda stub: stub.MakeOnlineKeys(request))
    return {
        Role(item.role): proposals.Keys(
            (proposals.online_key(item.public_key.encode(), item.role),), 1
        )
        for item in answer.keys
    }
