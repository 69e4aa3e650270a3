"""What `simpul registry root` and `simpul registry policy` share: keys, files, and who has signed.

A proposal is a file that goes from hand to hand. It is replaced as a whole, and only by itself with
more signatures. A holder's key is read to sign, and never printed or copied.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.files import PASSPHRASE, key_passphrase, read_small
from cli.output import print_done, print_hint, print_json, print_line, print_table, refusal
from security.errors import Code

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, Key

    from registry.directory.proposals import Proposal
    from simpul.registry.v1.admin_pb2 import ShowTrustResponse

PUBLIC_SUFFIX = ".pub"

ProposalFile = Annotated[Path, typer.Argument(metavar="FILE", help="The proposal.")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the proposal is written.")]
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key",
        metavar="FILE",
        help=f"Your private key; its passphrase is asked for, or taken from {PASSPHRASE}.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Sign without being asked.")]


def read_proposal(file: Path) -> "Proposal":
    """A proposal; raises SimpulError NOT_FOUND, REQUEST_MALFORMED or CHANGE_INVALID."""
    from registry.directory import proposals

    return proposals.parse(read_small(file))


def write_proposal(file: Path, proposal: "Proposal", *, is_new: bool) -> None:
    """Writes a proposal; one that is there is replaced only by itself with more signatures."""
    from runtime.files import write_durably

    if is_new and file.exists():
        raise refusal(Code.ALREADY_EXISTS, f"{file} is there already: give another name with --out")
    try:
        write_durably(file, proposal.to_bytes())
    except OSError as error:
        raise refusal(Code.NOT_FOUND, f"{file} can't be written ({error.strerror})") from error


def read_holder(file: Path) -> "Key":
    """A holder's public key, as `root key` wrote it.

    Raises:
        SimpulError: NOT_FOUND, REQUEST_MALFORMED or KEY_MALFORMED.
    """
    from registry.directory import proposals

    try:
        tree = json.loads(read_small(file))
        holder, pem = str(tree["holder"]), str(tree["public_key"])
    except (ValueError, KeyError, TypeError) as error:
        raise refusal(
            Code.REQUEST_MALFORMED,
            f"{file} is no holder's public key: take the {PUBLIC_SUFFIX} file that `simpul "
            "registry root key` wrote",
        ) from error
    return proposals.holder_key(pem.encode(), holder)


def read_signer(file: Path) -> "CryptoSigner":
    """A private key in PEM, with its passphrase where it has one.

    Raises:
        SimpulError: NOT_FOUND or KEY_MALFORMED.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    data = read_small(file)
    try:
        try:
            key = load_pem_private_key(data, None)
        except TypeError:
            # Encrypted.
            key = load_pem_private_key(data, key_passphrase())
        return CryptoSigner(key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise refusal(
            Code.KEY_MALFORMED,
            f"{file} holds no private key in PEM that signs here, or the passphrase is wrong",
        ) from error


def fetch(home: Path) -> "ShowTrustResponse":
    """Root and policy in force at the running registry of `home`."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    return ask_registry(home, lambda stub: stub.ShowTrust(admin_pb2.ShowTrustRequest()))


def sign_file(file: Path, key: Path, *, yes: bool, as_json: bool) -> None:
    """Shows what a proposal says, and adds a signature to it when that is wanted."""
    from registry.directory import proposals

    proposal, signer = read_proposal(file), read_signer(key)
    if not as_json:
        _print_content(proposal)
    if not (yes or as_json) and not typer.confirm("Sign this?", err=True):
        raise refusal(Code.CHANGE_INVALID, "nothing was signed")
    signed = proposals.sign(proposal, signer)
    write_proposal(file, signed, is_new=False)
    print_needs(signed, as_json=as_json)


def show_file(file: Path, *, as_json: bool) -> None:
    """Shows what a proposal says, and who has signed it."""
    proposal = read_proposal(file)
    if not as_json:
        _print_content(proposal)
    print_needs(proposal, as_json=as_json)


def merge_files(files: Sequence[Path], out: Path, *, as_json: bool) -> None:
    """Writes one proposal with the signatures of all its copies."""
    from registry.directory import proposals

    merged = proposals.merge([read_proposal(file) for file in files])
    write_proposal(out, merged, is_new=True)
    print_needs(merged, as_json=as_json)


def publish_file(file: Path, home: Path, *, as_json: bool) -> None:
    """Gives a signed proposal to the registry, and waits until it is in force."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ChangeTrustRequest(proposal=read_small(file))
    answer = ask_registry(home, lambda stub: stub.ChangeTrust(request))
    if as_json:
        print_json(
            {"directory_version": answer.directory_version, "root_version": answer.root_version}
        )
        return
    print_done(f"in force: directory {answer.directory_version}, root {answer.root_version}")


def print_needs(proposal: "Proposal", *, as_json: bool) -> None:
    """The table of who is to sign: `2 of 3 signed, waits for 1 of Budi, Citra`."""
    from registry.directory import proposals

    found = proposals.needs(proposal)
    if as_json:
        print_json(
            {
                "complete": all(need.is_met for need in found),
                "parts": [
                    {
                        "what": need.what,
                        "threshold": need.threshold,
                        "signed": list(need.signed),
                        "missing": list(need.missing),
                    }
                    for need in found
                ],
            }
        )
        return
    print_table(
        ("WHAT", "NEEDS", "SIGNED BY", "WAITS FOR"),
        (
            (
                need.what,
                f"{min(len(need.signed), need.threshold)} of {need.threshold}",
                ", ".join(need.signed) or "-",
                "-" if need.is_met else ", ".join(need.missing),
            )
            for need in found
        ),
        empty="",
    )
    if all(need.is_met for need in found):
        print_hint("Enough have signed: bring it to the registry, and publish it.")


def policy_text(policy: bytes) -> str:
    """A policy in protobuf's JSON: what `policy propose` takes."""
    from google.protobuf.json_format import MessageToJson

    from simpul.v1 import directory_pb2

    message = directory_pb2.FederationPolicy.FromString(policy)
    return MessageToJson(message, preserving_proto_field_name=True, ensure_ascii=False)


def _print_content(proposal: "Proposal") -> None:
    if proposal.next_root is not None:
        print_root(proposal.next_root)
    if proposal.policy:
        print_line(policy_text(proposal.policy))


def print_root(data: bytes) -> None:
    """Who signs what, by a root's metadata."""
    from registry.directory import proposals
    from registry.directory.roles import TOP_LEVEL

    root = proposals.parse_root(data)
    print_table(
        (f"ROOT {root.version}", "NEEDS", "KEYS", "UNTIL"),
        (
            (
                "policy" if role == "targets" else str(role),
                f"{keys.threshold} of {len(keys.keys)}",
                ", ".join(f"{proposals.holder_of(key)} ({key.keyid[:8]})" for key in keys.keys),
                f"{root.expires:%Y-%m-%d}" if role == "root" else "-",
            )
            for role in TOP_LEVEL
            for keys in (proposals.keys_of(root, role),)
        ),
        empty="",
    )
