"""`simpul registry node`: the nodes that have joined."""

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_json, print_table, to_dict, when
from cli.registry_options import NodeArgument

app = group("List nodes, take them out of service, revoke them.")


@app.command("list", epilog=examples("simpul registry node list --home R"))
def node_list(home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """List the nodes, with the fingerprints to compare by voice."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(home, lambda stub: stub.ListNodes(admin_pb2.ListNodesRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("NODE", "MEMBER", "STATE", "LINK", "CERTIFICATE UNTIL", "FINGERPRINT"),
        (
            (
                item.id,
                item.member,
                item.state,
                item.link_address,
                when(item.certificate_expires_at_ms),
                item.fingerprint or "-",
            )
            for item in answer.nodes
        ),
        empty="No nodes yet: simpul registry enrol --help",
    )


@app.command("revoke", epilog=examples("simpul registry node revoke ID/~labuan-bajo-1 --home R"))
def node_revoke(
    node: NodeArgument,
    home: RegistryHomeDir,
    as_json: AsJson = False,
) -> None:
    """Revoke a node, for good: its keys are refused by every connected node within two seconds."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(
        home, lambda stub: stub.RevokeNode(admin_pb2.RevokeNodeRequest(node=node))
    )
    if as_json:
        print_json({"node": node, "directory_version": answer.directory_version})
        return
    print_done(f"{node} is revoked; the directory is at version {answer.directory_version}")


@app.command("remove", epilog=examples("simpul registry node remove ID/~labuan-bajo-1 --home R"))
def node_remove(node: NodeArgument, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Take a node out of service, for good. Revoke it instead where a key may have leaked."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(
        home, lambda stub: stub.RemoveNode(admin_pb2.RemoveNodeRequest(node=node))
    )
    if as_json:
        print_json({"node": node, "directory_version": answer.directory_version})
        return
    print_done(f"{node} is removed; the directory is at version {answer.directory_version}")
