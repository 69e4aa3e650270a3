"""One value changes, the rest stays as it was written, and what can't be changed is left."""

from pathlib import Path

import pytest

from node.config_edit import replace_value
from security.errors import Code, SimpulError

TEXT = """\
# mine
[node]
id = "ID/~a"   # said once
members = ["ID/DAERAH/1"]

[link]
advertise = "127.0.0.1:1"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(TEXT)
    return path


def test_a_line_is_replaced(file: Path) -> None:
    replace_value(file, "node", "members", ["ID/DAERAH/1", "ID/DAERAH/2"])
    wanted = TEXT.replace('["ID/DAERAH/1"]', '["ID/DAERAH/1", "ID/DAERAH/2"]')
    assert file.read_text() == wanted


def test_a_key_and_a_section_are_added(file: Path) -> None:
    replace_value(file, "link", "listen", "0.0.0.0:2")
    replace_value(file, "metrics", "listen", "127.0.0.1:3")
    assert '[link]\nlisten = "0.0.0.0:2"\nadvertise' in file.read_text()
    assert file.read_text().endswith('[metrics]\nlisten = "127.0.0.1:3"\n')


@pytest.mark.parametrize(
    "text",
    [
        '[node]\nmembers = [\n  "ID/DAERAH/1",\n]\n',
        'node = { members = ["ID/DAERAH/1"] }\n',
        'node.members = ["ID/DAERAH/1"]\n',
    ],
)
def test_what_one_line_can_not_change_is_left(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(SimpulError) as caught:
        replace_value(file, "node", "members", ["ID/DAERAH/2"])
    assert caught.value.code is Code.CONFIG_INVALID
    assert file.read_text() == text
