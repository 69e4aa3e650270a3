"""The operators' socket of a node that runs: who knocks is who the kernel says."""

import os
import pwd
from pathlib import Path

from tests.scenario.harness import Federation, done, refused, serving

MEMBER = "ID/DAERAH/63.03"


def test_only_who_has_a_role_is_answered(federation: Federation, home: Path) -> None:
    federation.join(home / "n", MEMBER, "kalsel-operator")
    config, door = home / "n" / "node.toml", home / "o.sock"
    config.write_text(config.read_text() + f'\n[operators]\nsocket = "{door}"\n')
    with serving(home / "n", home / "n.log"):
        at = ("--home", home / "n")
        made = done("node", "operator", "add", "nobody", "--member", MEMBER, *at, "--json").json
        assert made["uid"] == pwd.getpwnam("nobody").pw_uid
        (listed,) = done("node", "operator", "list", *at, "--json").json["operators"]
        assert listed["roles"] == [{"member": MEMBER, "role": "operator"}]
        # By its own socket even the user that runs the node is only who he is.
        ran = refused("OPERATOR_REFUSED", "access", "inbox", "--home", door)
        assert f"user {os.getuid()} is no operator of this node" in ran.err
        assert done("access", "inbox", *at, "--json").json["agreements"] == []
        refused("MEMBER_UNKNOWN", "node", "operator", "add", "nobody", "--member",
                "ID/DAERAH/53.15", *at)  # fmt: skip
        done("node", "operator", "remove", "nobody", *at)
    assert not door.exists()
