"""An evidence file verifies where nothing of this project is but `security/` and `protos/`."""

from pathlib import Path

from security.evidence import print_evidence
from tests.support.alone import verify_alone
from tests.support.evidence_judge import GOOD, ROOT, flipped


def test_a_file_verifies_with_nothing_but_this_room(tmp_path: Path) -> None:
    file, root = tmp_path / "call.evidence", tmp_path / "root.json"
    root.write_bytes(ROOT)
    file.write_bytes(print_evidence(GOOD))
    found = verify_alone(file, root, tmp_path)
    assert found["seals"] == found["cosignatures"] == found["receipts"] == "proven"
    assert found["agreement"] == "proven"
    file.write_bytes(flipped(print_evidence(GOOD), 5000))
    assert verify_alone(file, root, tmp_path)["container"] == "failed"
