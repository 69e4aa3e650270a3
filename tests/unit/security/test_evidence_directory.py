"""Evidence, steps 2 to 4: each fails where just that step is broken."""

from dataclasses import replace

from security.evidence import Result
from tests.support import directories
from tests.support.evidence import (
    ISSUED_MS,
    Link,
    Scene,
    policy,
    unary,
)
from tests.support.evidence_judge import (
    GOOD,
    SCENE,
    fails,
    flipped,
    judge,
    results,
)
from tests.support.published import Registry, signer

# 2. roots


def test_2_the_root_of_another_federation() -> None:
    fails(GOOD, 2, Registry("another").roots[0], saying="isn't the root given")


def test_2_what_is_no_root() -> None:
    fails(GOOD, 2, b"{}")


def test_2_no_roots() -> None:
    fails(replace(GOOD, roots=()), 2)


def rotated() -> Scene:
    """A registry whose root keys changed before the directory of the call."""
    registry = Registry()
    registry.add_root(root=signer("root 2"), timestamp=signer("timestamp 2"))
    registry.add_root(snapshot=signer("snapshot 3"))
    return Scene(registry)


def test_2_roots_lead_forward_from_the_one_given() -> None:
    scene = rotated()
    made = unary(scene)
    for root in scene.registry.roots:
        report = judge(made, root)
        assert report.failed is None, report.failed


def test_2_a_root_is_missing_on_the_way() -> None:
    scene = rotated()
    made = unary(scene)
    fails(
        replace(made, roots=made.roots[::2]), 2, scene.registry.roots[0], saying="go from version"
    )
    fails(
        replace(made, roots=made.roots[2:]), 2, scene.registry.roots[0], saying="begin at version"
    )


def test_2_a_root_that_the_one_before_did_not_sign() -> None:
    scene = rotated()
    made = unary(scene)
    stranger = Registry("stranger")
    stranger.add_root()
    forged = (made.roots[0], stranger.roots[1], *made.roots[2:])
    fails(replace(made, roots=forged), 2, scene.registry.roots[0])


# 3. directories


def test_3_no_directory() -> None:
    fails(replace(GOOD, directories=(), files=()), 3)


def test_3_a_directory_rests_on_a_root_before_the_one_given() -> None:
    registry = Registry()
    scene = Scene(registry)
    scene.registry.add_root(root=signer("root 2"))
    made = unary(scene)
    assert judge(made, registry.roots[0]).failed is None
    fails(made, 3, registry.roots[1], saying="oldest root.json")


def test_3_a_file_is_missing_or_one_too_many() -> None:
    first, second = (set(item.files.values()) for item in SCENE.published)
    later = second - first
    for number in range(len(GOOD.files)):
        left = GOOD.files[:number] + GOOD.files[number + 1 :]
        report = judge(replace(GOOD, files=left))
        if report.failed is not None:
            assert report.failed.number in {3, 7}
        elif GOOD.files[number] in later:
            # Whether a key was revoked then isn't known.
            assert results(report)["revocations"] is Result.NOT_PROVEN
    fails(replace(GOOD, files=(*GOOD.files, b"more")), 3, saying="named by no directory")


def test_3_a_timestamp_of_other_keys() -> None:
    forged = Registry("forger").publish(7, {"policy": b"x"}, ISSUED_MS)
    shown = SCENE.published[0].shown
    changed = replace(shown, timestamps=forged.shown.timestamps)
    fails(replace(GOOD, directories=(changed, SCENE.published[1].shown)), 3)


def test_3_a_timestamp_names_another_snapshot() -> None:
    first, second = (item.shown for item in SCENE.published)
    changed = replace(first, timestamps=second.timestamps)
    fails(replace(GOOD, directories=(changed, second)), 3, saying="another snapshot")


def test_3_timestamps_out_of_order_too_many_or_none() -> None:
    first, second = (item.shown for item in SCENE.published)
    for timestamps in (second.timestamps[::-1], second.timestamps[:1] * 2, ()):
        changed = replace(second, timestamps=timestamps)
        fails(replace(GOOD, directories=(first, changed)), 3)


def test_3_two_directories_of_one_version() -> None:
    scene = Scene()
    files = dict(scene.published[0].files)
    other = scene.registry.publish(7, {"policy": files["policy"]}, ISSUED_MS + 1)
    scene.published.append(other)
    fails(unary(scene), 3, scene.registry.roots[0], saying="one version")


def test_3_a_member_that_the_wrong_bin_lists() -> None:
    scene = Scene()
    wanted = {
        path: data for path, data in scene.published[0].files.items() if path.startswith("members/")
    }
    policy_file = {"policy": scene.published[0].files["policy"]}
    scene.published[0] = scene.registry.publish(7, policy_file | wanted, ISSUED_MS, misplaced=True)
    scene.link = Link(scene.published[0].hash)
    fails(unary(scene), 3, saying="not its own")


# 4. records


def test_4_a_policy_of_another_federation() -> None:
    other = policy()
    other.federation = "MY"
    fails(unary(Scene(watched=other)), 4)


def test_4_a_statement_that_its_own_key_did_not_sign() -> None:
    record = directories.regency_record()
    record.statement.signature = flipped(record.statement.signature, 0)
    fails(unary(Scene(records=(record, directories.ministry_record()))), 4)


def test_4_another_federation_is_named() -> None:
    fails(replace(GOOD, federation="MY"), 4)


def test_4_a_record_that_is_listed_and_left_out_is_not_known() -> None:
    """Whoever exports could leave out the record that says that a key was revoked."""
    scene = Scene()
    record = directories.ministry_record()
    record.number = 2
    scene.later(directories.regency_record(), record)
    made = unary(scene)
    assert results(judge(made))["revocations"] is Result.PROVEN
    hidden = record.SerializeToString(deterministic=True)
    left = tuple(data for data in made.files if data != hidden)
    assert len(left) == len(made.files) - 1
    assert results(judge(replace(made, files=left)))["revocations"] is Result.NOT_PROVEN
