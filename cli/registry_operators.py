"""`simpul registry operator`: who may work on the registry, from which machine, in which role.

An operator's own folder, the profile, is made by `request` and completed by `accept`. It is then
what every other command of `simpul registry` takes as --home.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.files import read_small
from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import (
    print_done,
    print_json,
    print_line,
    print_next,
    print_table,
    refusal,
    to_dict,
    when,
)
from security.errors import Code

app = group("Enrol operators, change their roles, remove them.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The operator's name: anna.")]
Role = Annotated[
    str, typer.Option("--role", metavar="ROLE", help="operator, security officer or auditor.")
]
Profile = Annotated[
    Path, typer.Option("--home", metavar="DIR", help="The operator's own folder, the profile.")
]
MAX_FILE_BYTES = 64 * 1024


@app.command("request", epilog=examples("simpul registry operator request anna --home P"))
def operator_request(
    name: NameArgument,
    home: Profile,
    federation: Annotated[
        str, typer.Option(metavar="ID", help="The federation's short name, in capitals.")
    ] = "ID",
) -> None:
    """On the operator's machine: make a key that stays here, and a request to send."""
    from cli.admin import KEY_FILE
    from runtime.files import create_private, make_private_folder, write_durably
    from security import certificate

    key = certificate.make_key()
    request = certificate.make_operator_request(key, federation, name)
    if home.exists() and any(home.iterdir()):
        raise refusal(Code.HOME_EXISTS, f"{home} isn't empty: choose another folder with --home")
    make_private_folder(home)
    create_private(home / KEY_FILE, key)
    write_durably(home / "request.der", request)
    print_line(str(home / "request.der"))
    print_next(
        f"simpul registry operator add {name} --role ROLE --request request.der --home R"
        "  # at the registry"
    )


@app.command("accept", epilog=examples("simpul registry operator accept grant-anna.json --home P"))
def operator_accept(
    grant: Annotated[Path, typer.Argument(metavar="FILE", help="What `operator add` printed.")],
    home: Profile,
) -> None:
    """On the operator's machine: take the certificate; then --home P works at the registry."""
    from cli.admin import KEY_FILE, PROFILE_FILE, parse_profile
    from runtime.files import write_durably

    if not (home / KEY_FILE).is_file():
        raise refusal(
            Code.HOME_MISSING,
            f"{home} holds no operator's key: `simpul registry operator request` makes one",
        )
    data = read_small(grant, MAX_FILE_BYTES)
    profile = parse_profile(data, str(grant))
    write_durably(home / PROFILE_FILE, data)
    print_done(f"{profile.name} may work at {profile.registry}")
    print_next(f"simpul registry status --home {home}")


@app.command(
    "add",
    epilog=examples(
        "simpul registry operator add anna --role auditor --request request.der --home R"
        " > grant-anna.json"
    ),
)
def operator_add(
    name: NameArgument,
    role: Role,
    home: RegistryHomeDir,
    request: Annotated[
        Path, typer.Option(metavar="FILE", help="What `operator request` made; compare by voice.")
    ],
) -> None:
    """Issue a certificate to an operator; prints, as JSON, what its machine is to accept."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    asked = admin_pb2.AddOperatorRequest(
        operator=name, role=role, certificate_request=read_small(request, MAX_FILE_BYTES)
    )
    answer = ask_registry(home, lambda stub: stub.AddOperator(asked))
    print_json(json.loads(answer.operator.grant))
    print_done(f"{name} is {answer.operator.role}, by {answer.operator.certificate_sha256}")


@app.command(
    "grant", epilog=examples("simpul registry operator grant anna --home R > grant-anna.json")
)
def operator_grant(name: NameArgument, home: RegistryHomeDir) -> None:
    """Print an operator's certificate again, where somebody else approved its making."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(home, lambda stub: stub.ListOperators(admin_pb2.ListOperatorsRequest()))
    for item in answer.operators:
        if item.name == name:
            print_json(json.loads(item.grant))
            return
    raise refusal(
        Code.NOT_FOUND, f"{name} is no operator: see simpul registry operator list, pending list"
    )


@app.command("list", epilog=examples("simpul registry operator list --home R"))
def operator_list(home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """List the operators. The machine's administrator needs no entry."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(home, lambda stub: stub.ListOperators(admin_pb2.ListOperatorsRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("NAME", "ROLE", "CERTIFICATE UNTIL", "SHA-256"),
        (
            (
                item.name,
                item.role,
                when(item.certificate_expires_at_ms),
                item.certificate_sha256,
            )
            for item in answer.operators
        ),
        empty="No operators but the machine's administrator: simpul registry operator add --help",
    )


@app.command("role", epilog=examples("simpul registry operator role anna --role operator --home R"))
def operator_role(
    name: NameArgument, role: Role, home: RegistryHomeDir, as_json: AsJson = False
) -> None:
    """Give an operator another role."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.SetOperatorRoleRequest(operator=name, role=role)
    answer = ask_registry(home, lambda stub: stub.SetOperatorRole(request))
    if as_json:
        print_json(to_dict(answer.operator))
        return
    print_done(f"{name} is {answer.operator.role}")


@app.command("remove", epilog=examples("simpul registry operator remove anna --home R"))
def operator_remove(name: NameArgument, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Remove an operator: the next call with its certificate is refused."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.RemoveOperatorRequest(operator=name)
    ask_registry(home, lambda stub: stub.RemoveOperator(request))
    if as_json:
        print_json({"removed": name})
        return
    print_done(f"{name} is no operator any more")
