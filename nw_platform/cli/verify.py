"""`nw verify`: proves from the bytes that the lake is what its receipts say."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from nw_platform.cli.output import Output
from nw_platform.cli.ranges import parse_range
from nw_platform.errors import UsageError
from nw_platform.ingest.session import Session
from nw_platform.ingest.verify import Finding, verify
from nw_platform.record.hours import parse_bound
from nw_platform.reports.damage import look_at_all
from nw_platform.reports.gaps import told_gaps
from nw_platform.reports.plan import read_gaps
from nw_platform.settings import load

HELP = (
    "Prove that nothing is missing, repeated or altered: receipts, digests, gaps, overlaps, and\n"
    "raw = logs + duplicates. Ends with 1 and an exact list on any difference."
)
EXAMPLE = "nw verify\n  nw verify apache_access 2015-05-18 2015-05-19"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw verify`."""
    parser.add_argument(
        "what",
        metavar="[STREAM] [FROM TO]",
        nargs="*",
        help="a stream (default: all), and UTC hours or days, TO exclusive",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Verify; 1 if anything differs."""
    stream, first, last = _arguments(list(args.what))
    settings = load(args.config)
    if stream is not None:
        settings.stream(stream)
    with Session(settings) as session, out.progress(None, "verify") as bar:
        session.lake.require(is_there=True)
        report = verify(session, stream, first, last, progress=bar.report)
        if stream is None and first is None:
            root = session.lake.reports_root
            report.findings += [Finding("", "reports", "reports", line) for line in look_at_all(root)]
        # No finding: the records are all proven, a report waits for its next build.
        gaps = read_gaps(session.lake.reports_root)
    findings = [asdict(finding) for finding in report.findings]
    if out.as_json:
        out.result(
            {
                "batches": report.batches,
                "records": report.records,
                "findings": findings,
                "orphans": list(report.orphans),
                "report_gaps": [asdict(gap) for gap in gaps],
                "files": report.files,
            }
        )
    elif findings:
        out.result(findings)
    else:
        out.result(f"{report.records:,} records in {report.batches:,} batches: all there, once, as they were read")
    for name, told in report.files.items():
        out.note(f"{name}: {told}")
    for line in told_gaps(gaps):
        out.note(line)
    # A lost commit leaves its files behind, and a repair takes the records from them.
    advice = "keep it until the findings are mended: a repair may need it" if findings else "it may be deleted"
    for orphan in report.orphans:
        out.note(f"orphan: {orphan} is named by no commit and is never read; {advice}")
    if findings:
        out.note(f"{len(findings):,} findings in {report.batches:,} batches, {report.records:,} records")
    return 1 if findings else 0


def _arguments(words: list[str]) -> tuple[str | None, str | None, str | None]:
    """(stream, first hour, hour after the last) of `[STREAM] [FROM TO]`."""
    stream = words.pop(0) if len(words) in {1, 3} else None
    if not words:
        if stream is not None and "-" in stream:  # no stream's name has one: it is a lone FROM
            parse_bound(stream)
            raise UsageError(f"FROM {stream} needs a TO; see `nw verify --help`")
        return stream, None, None
    if len(words) != 2:  # noqa: PLR2004  (FROM and TO)
        raise UsageError("too many arguments: allowed are [STREAM] [FROM TO]; see `nw verify --help`")
    return stream, *parse_range(*words)
