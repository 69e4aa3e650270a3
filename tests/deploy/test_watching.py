"""Alert rules and dashboards: that they can be read, and speak of metrics that there are."""

import json
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.architecture.project import PROJECT

DEPLOY = PROJECT / "deploy"
RULES = DEPLOY / "prometheus/rules.yaml"
RUNBOOK = PROJECT / "docs/how-to/runbook.md"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
# What Prometheus itself adds to a histogram's name, and what it knows of every target.
_SUFFIX = re.compile(r"_(bucket|count|sum)$")
_OWN = {"up"}


def documented() -> set[str]:
    text = (PROJECT / "docs/reference/metrics.md").read_text()
    return set(re.findall(r"^\| `(simpul_[a-z_]+)`", text, flags=re.MULTILINE))


def rules() -> list[Any]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def queries(dashboard: Path) -> list[str]:
    panels = json.loads(dashboard.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def check_query(text: str) -> None:
    """It is PromQL, and each of its metrics is in docs/reference/metrics.md."""
    promql_parser.parse(text.replace("$__rate_interval", "5m"))
    names = set(re.findall(r"\b(?:simpul_[a-z_]+|up)\b(?=[{\[ )]|$)", text))
    assert names, text
    unknown = {_SUFFIX.sub("", name) for name in names} - documented() - _OWN
    assert not unknown, text


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_can_fire_and_says_what_to_do(rule: Any) -> None:
    check_query(rule["expr"])
    assert rule["labels"]["severity"] in {"page", "ticket"}
    page, anchor = rule["annotations"]["runbook"].split("#")
    assert PROJECT / page == RUNBOOK
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), flags=re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}
    assert anchor == rule["alert"].lower()


def test_the_runbook_speaks_of_no_other_alert() -> None:
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), flags=re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_metrics_that_there_are(dashboard: Path) -> None:
    for query in queries(dashboard):
        check_query(query)


def test_every_metric_of_a_node_is_shown_or_watched() -> None:
    """Else nobody sees it. These few are for a look by hand."""
    shown = chain.from_iterable(queries(dashboard) for dashboard in DASHBOARDS)
    seen = " ".join(chain((rule["expr"] for rule in rules()), shown))
    by_hand = {
        "simpul_calls_settled_total", "simpul_links_refused_total", "simpul_parcel_entries",
        "simpul_checkpoint_stamped_timestamp_seconds", "simpul_timestamp_failures_total",
        "simpul_journal_parcels", "simpul_journal_archived_parcels",
        "simpul_journal_archive_failures_total", "simpul_journal_dropped_parcels_total",
    }  # fmt: skip
    assert {name for name in documented() if name not in seen} == by_hand


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool isn't on this machine")
def test_prometheus_takes_its_files() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "prometheus/prometheus.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
