"""The folder of the demo: an embedded landing zone with real and generated logs, and a configuration for it.

<folder>/neverwinter.yaml    written last: a folder that has it is complete
<folder>/landing/            apache/, broker/ (real logs) and app/ (generated, with _truth.json)
<folder>/lake/               made by the platform
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final

from nw_platform.errors import UsageError
from nw_platform.generator.faults import demo_traffic
from nw_platform.generator.spec import host_names
from nw_platform.generator.traffic import generate
from nw_platform.generator.truth import TRUTH_FILE
from nw_platform.record.hours import to_datetime, to_iso

CONFIG: Final = "neverwinter.yaml"
_MARK: Final = "# Written by `nw demo`"
_SAMPLES: Final = {"apache/access.log.gz": "apache_logs.gz", "broker/server.log.gz": "broker_server.log.gz"}

_CONFIGURATION: Final = """\
{mark} on {made}. Everything it reads and writes is in this folder.
lake: ./lake
sources:
  landing: {{kind: landing, url: ./landing, datacenter: demo}}
streams:
  apache_access:                          # real: 10,000 requests of May 2015
    source: landing
    path: "apache/access.log*"
    format: combined
    late_after: never
    history: {{from: 2015-05-17, until: 2015-05-21}}
  broker:                                 # real: a Kafka broker's log, entries of several lines
    source: landing
    path: "broker/server.log*"
    format: log4j
    late_after: never
    history: {{from: 2016-12-19, until: 2016-12-20}}
  app:                                    # generated: {hosts} hosts, with faults in it
    source: landing
    path: "app/**/*.json"
    format: json
    columns: {{user_id: string, status: int32, latency_ms: float64, amount: float64}}
    history: {{from: {first_day}}}
    expect:
      - {{kind: heartbeat, every: 1m}}
      - {{kind: volume, min_lines: 1, every: 15m}}
      - {{kind: values, column: status, allowed: [200, 201, 204, 304, 400, 404, 500]}}
hosts: [{host_list}]
"""


def is_ready(folder: Path) -> bool:
    """Whether a demo was prepared there, whole."""
    return (folder / CONFIG).is_file()


def prepare(folder: Path, now: int, *, progress: Callable[[int], None] | None = None) -> None:
    """Fill a new or empty folder; one that was left half-way is started afresh. Does nothing where `is_ready`.

    Raises:
        UsageError: the folder holds something that is not a demo's.
    """
    if is_ready(folder):
        if not (folder / CONFIG).read_text().startswith(_MARK):
            raise UsageError(f"{folder / CONFIG} is not the demo's: choose another folder with --dir")
        return
    if folder.exists() and any(path.name not in {"landing", ".neverwinter"} for path in folder.iterdir()):
        raise UsageError(f"{folder} is not empty and no demo: choose another folder with --dir")
    landing = folder / "landing"
    shutil.rmtree(landing, ignore_errors=True)
    samples = resources.files("nw_platform.generator") / "samples"
    for target, name in _SAMPLES.items():
        path = landing / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((samples / name).read_bytes())
    spec = demo_traffic(now)
    generate(spec, str(landing / "app"), progress=progress)
    hosts = host_names(spec.hosts)
    text = _CONFIGURATION.format(
        mark=_MARK,
        made=to_iso(now // 1_000_000 * 1_000_000),
        hosts=len(hosts),
        host_list=", ".join(hosts),
        first_day=to_datetime(spec.start).date(),
    )
    unready = folder / f".{CONFIG}.part"
    unready.write_text(text)
    unready.replace(folder / CONFIG)


def truth_of(folder: Path) -> dict[str, Any]:
    """What was sent to the stream `app`."""
    truth: dict[str, Any] = json.loads((folder / "landing" / "app" / TRUTH_FILE).read_text())
    return truth
