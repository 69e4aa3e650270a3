"""Makes members.csv, the country's provinces, regencies and cities as members of a federation.

Run it as `python -m examples.data.build_members`; then
`simpul registry member import examples/data/members.csv --home R` lists them all. The output
depends on provinces.csv and regencies.csv only.
"""

import csv
import io
import sys
from typing import Final

from examples.data import MEMBERS, PROVINCES, REGENCIES

FEDERATION: Final = "ID"
COLUMNS: Final = ("member", "legal_name", "regions")


def members_csv() -> str:
    """Return the whole file's text, header first, lines ended by a line feed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    with PROVINCES.open(encoding="utf-8", newline="") as opened:
        for line in csv.DictReader(opened):
            code = line["code"]
            writer.writerow((f"{FEDERATION}/PROVINSI/{code}", f"PROVINSI {line['name']}", code))
    with REGENCIES.open(encoding="utf-8", newline="") as opened:
        for line in csv.DictReader(opened):
            code = line["code"]
            writer.writerow((f"{FEDERATION}/DAERAH/{code}", line["name"], code))
    return text.getvalue()


if __name__ == "__main__":
    MEMBERS.write_text(members_csv(), encoding="utf-8", newline="\n")
    sys.stdout.write(f"wrote {MEMBERS}\n")
