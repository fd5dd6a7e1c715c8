"""`nw demo`: the whole platform on this machine, from logs to reports."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Final

from nw_platform.cli.build import build_reports
from nw_platform.cli.demo_findings import Finding, findings, report_queries, traffic_times
from nw_platform.cli.main import main
from nw_platform.cli.output import Output, clock
from nw_platform.errors import NeverwinterError
from nw_platform.generator import demo_site
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.reports.views import run_query
from nw_platform.settings import Settings, load

HELP: Final = """\
Prepares a folder with real Apache and Kafka logs and a day of generated traffic with faults in it, ingests it, builds
the reports, prints them and what they say about the faults. On a terminal it then stays up with the Dagster UI.
Started again it reads nothing twice; delete the folder to start afresh."""
EXAMPLE: Final = "nw demo --once"

_GAP: Final = "\n"
_TITLES: Final = {
    "summary_report": "summary_report: a day at a glance",
    "log_type_report": "log_type_report: what kinds of records there are",
    "key_coverage": "key_coverage: which keys the records have (payments: the hours around a change)",
    "value_coverage": "value_coverage: what their values are like",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--once", action="store_true", help="print the reports and end, also on a terminal")
    parser.add_argument("--dir", metavar="FOLDER", help="where to keep it (default: a folder for state of your home)")
    parser.add_argument("--port", type=int, default=3000, help="port of the Dagster UI (default 3000)")


def run(args: argparse.Namespace, out: Output) -> int:
    """Prepare, ingest, build, print; 1 if a report says something else than what was sent."""
    folder = Path(args.dir).expanduser().absolute() if args.dir else _state_folder()
    started = time.monotonic()
    new = not demo_site.is_ready(folder)
    with out.progress(None, "writing logs") as bar:
        demo_site.prepare(folder, clock(), progress=lambda _: bar.advance(1))
    settings = load(str(folder / demo_site.CONFIG))
    truth = demo_site.truth_of(folder)
    records = _bring_in(settings, out)
    shown = _look(settings, truth)
    seconds = time.monotonic() - started
    if out.as_json:
        out.result(shown.as_json())
    else:
        sent = truth["sent"]
        news = f"{records:,} records were read" if records else "nothing new was there to read"
        made = "made" if new else "found as it was"
        out.result(f"{folder}: {made}; {sent['files'] + 2} files; {news}; reports after {seconds:.0f} s.{_GAP}")
        _print(shown, out)
        out.result(_where_to_look(folder, settings))
    if not all(finding.as_sent for finding in shown.findings):
        return 1
    if args.once or out.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return 0
    return _stay_up(args, folder, out)


class _Shown:
    """What the demo prints."""

    def __init__(self, reports: dict[str, list[dict[str, Any]]], found: list[Finding]) -> None:
        self.reports = reports
        self.findings = found

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        told = [{"what": f.what, "found": f.found, "as_sent": f.as_sent} for f in self.findings]
        return {"reports": self.reports, "findings": told}


def _bring_in(settings: Settings, out: Output) -> int:
    """Ingest and build, as `nw ingest --once` and `nw build` do; return the number of records that were read.

    Raises:
        NeverwinterError: a stream failed.
    """
    with Session(settings) as session:
        with out.progress(None, "ingest") as bar:
            report = run_tick(session, clock, until_caught_up=True, pause=time.sleep, progress=bar.report)
        for stream, reason in report.failures.items():
            raise NeverwinterError(f"stream {stream} failed: {reason}")
        for hour, why in build_reports(session, out).refused:
            out.note(f"{hour} refused: {why}")
        return sum(batch.records for batch in report.batches)


def _look(settings: Settings, truth: dict[str, Any]) -> _Shown:
    """The reports and the findings, read through the tables that users query."""
    with Session(settings) as session:

        def query(sql: str) -> list[dict[str, Any]]:
            return run_query(session.lake, settings, sql, clock()).mappings()

        reports = {name: query(sql) for name, sql in report_queries(traffic_times(truth)).items()}
        return _Shown(reports, findings(query, truth))


def _print(shown: _Shown, out: Output) -> None:
    for name, rows in shown.reports.items():
        out.result(_TITLES[name])
        out.result(rows, "table")
        out.result(_GAP)
    out.result("What the reports say about what was wrong with these logs")
    width = max(len(finding.what) for finding in shown.findings)
    for finding in shown.findings:
        verdict = "as sent" if finding.as_sent else "NOT AS SENT"
        out.result(f"  {finding.what:<{width}}  {finding.found} [{verdict}]")
    out.result(_GAP)


def _where_to_look(folder: Path, settings: Settings) -> str:
    nw = f"{_program()} -c {shlex.quote(_near(folder / demo_site.CONFIG))}"
    select = "SELECT status, count(*) AS requests FROM apache_access WHERE dt = '2015-05-18' GROUP BY 1 ORDER BY 2 DESC"
    return f"""\
Where to look next
  {nw} up                                   the Dagster UI, with every partition and check
  {nw} sql "{select}"
  {nw} report key_coverage --grain day --period 2015-05-18
  {nw} verify                               proves that nothing is missing, repeated or altered
  {_near(folder / "landing")}   the logs; put more there and ingest again
  {_near(Path(settings.lake))}      raw, logs and reports as Parquet and Delta tables"""


def _program() -> str:
    """How this program was called, as short as it still works from this folder."""
    called = Path(sys.argv[0])
    return shlex.quote(_near(called)) if called.name == "nw" and called.is_file() else "nw"


def _near(path: Path) -> str:
    """A path as seen from the working folder, if it lies below it."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)


def _state_folder() -> Path:
    """Where the demo is kept when nobody says where."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "neverwinter" / "demo"


def _stay_up(args: argparse.Namespace, folder: Path, out: Output) -> int:
    out.note(f"Starting the Dagster UI on port {args.port}; Ctrl-C ends it.")
    return main(["-c", str(folder / demo_site.CONFIG), "up", "--port", str(args.port)])
