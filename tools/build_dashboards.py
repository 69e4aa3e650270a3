"""Writes deploy/grafana/*.json from the few lines below; `--check` only compares.

A dashboard's JSON is forty lines a panel, all alike: what differs is a title, a unit and queries.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "deploy" / "grafana"
COLUMNS: Final = 3
WIDTH: Final = 24 // COLUMNS
HEIGHT: Final = 8
RATE: Final = "[$__rate_interval]"
_FAILED: Final = ',code!=""'


@dataclass(frozen=True)
class Panel:
    """A graph. Each query has the legend of its lines."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Dashboard:
    """A page of panels, three in a row, of the instances that the reader chooses."""

    name: str
    title: str
    job: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str, labels: str = "") -> str:
    return f'sum by ({by}) (rate({metric}{{instance=~"$instance"{labels}}}{RATE}))'


def _latency(side: str) -> tuple[tuple[str, str], ...]:
    buckets = _rate("simpul_call_seconds_bucket", "le", f',side="{side}"')
    return tuple(
        (f"histogram_quantile({share}, {buckets})", f"p{share * 100:g}")
        for share in (0.5, 0.99, 0.999)
    )


def _age(metric: str) -> str:
    return f'time() - {metric}{{instance=~"$instance"}}'


def _now(metric: str) -> str:
    return f'{metric}{{instance=~"$instance"}}'


NODE: Final = Dashboard(
    "node",
    "Simpul: nodes",
    "simpul-node",
    (
        Panel(
            "Calls",
            "reqps",
            ((_rate("simpul_calls_total", "side, status"), "{{side}} {{status}}"),),
        ),
        Panel(
            "Refused and failed, by code",
            "reqps",
            ((_rate("simpul_calls_total", "side, code", _FAILED), "{{side}} {{code}}"),),
        ),
        Panel("Calls under way", "short", ((_now("simpul_calls_open"), "{{instance}} {{side}}"),)),
        Panel("Time of a call, as consumer", "s", _latency("consumer")),
        Panel("Time of a call, as provider", "s", _latency("provider")),
        Panel(
            "Turned away at the gateway",
            "reqps",
            ((_rate("simpul_gateway_refused_total", "reason"), "{{reason}}"),),
        ),
        Panel("Parcels", "pps", ((_rate("simpul_parcels_total", "direction"), "{{direction}}"),)),
        Panel("Links", "short", ((_now("simpul_links"), "{{instance}} {{kind}}"),)),
        Panel(
            "Link faults",
            "short",
            ((_rate("simpul_link_faults_total", "instance, code"), "{{instance}} {{code}}"),),
        ),
        Panel(
            "Connections to services",
            "short",
            (
                (_now("simpul_service_connections"), "{{instance}}"),
                (_now("simpul_services_paused"), "{{instance}} paused"),
            ),
        ),
        Panel(
            "Service faults",
            "short",
            ((_rate("simpul_service_faults_total", "fault"), "{{fault}}"),),
        ),
        Panel("Journal on disk", "bytes", ((_now("simpul_journal_bytes"), "{{instance}}"),)),
        Panel(
            "Archives behind", "s", ((_now("simpul_journal_archive_lag_seconds"), "{{instance}}"),)
        ),
        Panel(
            "Age of the last checkpoint",
            "s",
            (
                (
                    _age("simpul_checkpoint_signed_timestamp_seconds"),
                    "{{instance}} {{slot}} signed",
                ),
                (
                    _age("simpul_checkpoint_cosigned_timestamp_seconds"),
                    "{{instance}} {{slot}} cosigned",
                ),
            ),
        ),
        Panel(
            "Age of the directory",
            "s",
            ((_age("simpul_directory_issued_timestamp_seconds"), "{{instance}}"),),
        ),
        Panel("Gathers", "reqps", ((_rate("simpul_gathers_total", "status"), "{{status}}"),)),
        Panel(
            "Parts of gathers", "reqps", ((_rate("simpul_gather_parts_total", "end"), "{{end}}"),)
        ),
        Panel("Gathers under way", "short", ((_now("simpul_gathers_open"), "{{instance}}"),)),
    ),
)

REGISTRY: Final = Dashboard(
    "registry",
    "Simpul: registry",
    "simpul-registry",
    (
        Panel(
            "Requests",
            "reqps",
            ((_rate("simpul_registry_requests_total", "method, code"), "{{method}} {{code}}"),),
        ),
        Panel("Nodes that watch", "short", ((_now("simpul_registry_watchers"), "{{instance}}"),)),
        Panel(
            "Directory's version",
            "short",
            ((_now("simpul_registry_directory_version"), "{{instance}}"),),
        ),
        Panel(
            "Age of the directory",
            "s",
            ((_age("simpul_registry_directory_issued_seconds"), "{{instance}}"),),
        ),
        Panel(
            "Publications",
            "short",
            (
                (_rate("simpul_registry_publications_total", "kind"), "{{kind}}"),
                (_rate("simpul_registry_publication_failures_total", "instance"), "failed"),
            ),
        ),
        Panel(
            "Time of a publication",
            "s",
            (
                (
                    "histogram_quantile(0.99, "
                    + _rate("simpul_registry_publication_seconds_bucket", "le")
                    + ")",
                    "p99",
                ),
            ),
        ),
        Panel(
            "What keys signed ends in",
            "s",
            (('simpul_registry_role_expires_seconds{instance=~"$instance"} - time()', "{{role}}"),),
        ),
        Panel(
            "Cosignatures asked for",
            "reqps",
            ((_rate("simpul_registry_witness_requests_total", "status"), "{{status}}"),),
        ),
        Panel(
            "Watchers too slow",
            "short",
            ((_rate("simpul_registry_watchers_lagging_total", "instance"), "{{instance}}"),),
        ),
    ),
)

FEDERATION: Final = Dashboard(
    "federation",
    "Simpul: the federation",
    "simpul-node",
    (
        Panel(
            "Nodes that answer",
            "short",
            (('sum(up{job="simpul-node"})', "up"), ('count(up{job="simpul-node"})', "all")),
        ),
        Panel("Calls of all nodes", "reqps", ((_rate("simpul_calls_total", "side"), "{{side}}"),)),
        Panel(
            "Nodes with most calls",
            "reqps",
            ((f"topk(10, {_rate('simpul_calls_total', 'instance')})", "{{instance}}"),),
        ),
        Panel(
            "Nodes with most failures",
            "reqps",
            ((f"topk(10, {_rate('simpul_calls_total', 'instance', _FAILED)})", "{{instance}}"),),
        ),
        Panel(
            "Directory's version at each node",
            "short",
            ((_now("simpul_directory_version"), "{{instance}}"),),
        ),
        Panel(
            "Certificates end in",
            "s",
            (
                (
                    f"bottomk(10, {_now('simpul_certificate_expiry_timestamp_seconds')} - time())",
                    "{{instance}}",
                ),
            ),
        ),
    ),
)

DASHBOARDS: Final = (NODE, REGISTRY, FEDERATION)


def render(dashboard: Dashboard) -> str:
    """A dashboard as Grafana reads it (schema 39: Grafana 10 and newer)."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": {
                "h": HEIGHT,
                "w": WIDTH,
                "x": number % COLUMNS * WIDTH,
                "y": number // COLUMNS * HEIGHT,
            },
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {
                    "refId": chr(ord("A") + at),
                    "datasource": source,
                    "expr": expr,
                    "legendFormat": legend,
                }
                for at, (expr, legend) in enumerate(panel.queries)
            ],
        }
        for number, panel in enumerate(dashboard.panels)
    ]
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Data source"},
        {
            "name": "instance",
            "type": "query",
            "label": "Instance",
            "datasource": source,
            "query": {
                "query": f'label_values(up{{job="{dashboard.job}"}}, instance)',
                "refId": "instance",
            },
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]
    page = {
        "uid": f"simpul-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["simpul"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
    }
    return json.dumps(page, indent=1) + "\n"


def main() -> int:
    """Writes or compares. 1: a file isn't what it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Only say whether they are as written")
    check = parser.parse_args().check
    stale = []
    for dashboard in DASHBOARDS:
        path, text = FOLDER / f"{dashboard.name}.json", render(dashboard)
        if check and (not path.exists() or path.read_text() != text):
            stale.append(path.name)
        elif not check:
            path.write_text(text)
    if stale:
        print(
            f"deploy/grafana: {', '.join(stale)} not as written: python tools/build_dashboards.py"
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
