"""What the demo's reports say about the faults that were put into its traffic, beside what really was sent.

Every figure is read from the tables that users query. Where the truth file says the same thing, both are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nw_platform.generator.faults import (
    BROKEN_HOST,
    LATE_HOST,
    LATE_HOUR,
    RENAMED_FROM,
    RENAMED_IN,
    SILENT_FROM,
    SILENT_HOST,
)
from nw_platform.record.hours import HOUR_US, hour_of, hour_start

Rows = list[dict[str, Any]]
Query = Callable[[str], Rows]

APACHE_DAY: Final = "2015-05-18"
APACHE_LINES: Final = 10_000
BROKER_DAY: Final = "2016-12-19"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: `what` in a word or two, `found` in a sentence, and whether it is what was sent."""

    what: str
    found: str
    as_sent: bool


@dataclass(frozen=True, slots=True)
class Times:
    """Hours of the demo's traffic, as `2026-11-22T05`."""

    first: str
    silent: str
    late: str
    renamed: str
    before_renamed: str

    @classmethod
    def of(cls, start: int) -> Times:
        """From the first instant of the traffic, microseconds since the epoch."""

        def hour(after: int) -> str:
            return hour_of(start + after * HOUR_US)

        return cls(hour(0), hour(SILENT_FROM), hour(LATE_HOUR), hour(RENAMED_FROM), hour(RENAMED_FROM - 1))


def traffic_times(truth: dict[str, Any]) -> Times:
    """The hours of the traffic that a truth file tells of."""
    return Times.of(hour_start(truth["spec"]["start"][:13]))


def report_queries(times: Times) -> dict[str, str]:
    """The four reports, cut down to what fits a screen: name -> SQL."""
    day = times.silent[:10]
    return {
        "summary_report": """
            SELECT period AS day, hosts_reporting AS hosts, hosts_expected AS expected, log_types, lines,
                   normal, error, watchdog, round(error_pct, 2) AS error_pct, round(late_pct, 2) AS late_pct, duplicates
            FROM summary_report WHERE grain = 'day' ORDER BY period""",
        "log_type_report": f"""
            SELECT stream, period AS day, log_type, lines, bytes, hosts, round(error_pct, 2) AS error_pct,
                   round(share_pct, 1) AS share_pct, minutes_present AS minutes, status
            FROM log_type_report
            WHERE grain = 'day' AND period IN ('{APACHE_DAY}', '{BROKER_DAY}', '{day}') AND lines > 0
            ORDER BY period, stream, lines DESC, log_type""",
        "key_coverage": f"""
            SELECT period, log_type, key, records, present, nulls, round(coverage_pct, 2) AS coverage_pct, status
            FROM key_coverage
            WHERE (grain = 'day' AND stream = 'apache_access' AND period = '{APACHE_DAY}'
                   AND key IN ('path', 'referrer', 'user_agent'))
               OR (grain = 'hour' AND stream = 'app' AND log_type = 'payment'
                   AND period IN ('{times.before_renamed}', '{times.renamed}')
                   AND key IN ('user_id', 'userId', 'amount', 'items[].sku'))
            ORDER BY stream, log_type, key, period""",
        "value_coverage": f"""
            SELECT log_type, key, filled, distinct_values AS distinct, round(entropy_bits, 3) AS entropy_bits,
                   min, max, round(mean, 2) AS mean, p50, p95
            FROM value_coverage
            WHERE grain = 'day'
              AND ((stream = 'apache_access' AND period = '{APACHE_DAY}' AND key IN ('status', 'bytes_sent', 'method'))
                OR (stream = 'app' AND period = '{day}' AND log_type = 'payment'
                    AND key IN ('status', 'amount', 'latency_ms', 'currency')))
            ORDER BY stream, log_type, key""",
    }


def findings(query: Query, truth: dict[str, Any]) -> list[Finding]:
    """Every fault, as the tables show it."""
    times = traffic_times(truth)
    return [
        _completeness(query, truth),
        _real_logs(query),
        _silent_host(query, times),
        _late_file(query, times, truth),
        _renamed_key(query, times),
        _broken_lines(query, truth),
        _duplicates(query, truth),
    ]


def _completeness(query: Query, truth: dict[str, Any]) -> Finding:
    counts = _one(
        query("""
        SELECT (SELECT sum(records) FROM receipts WHERE stream = 'app' AND kind = 'batch') AS received,
               (SELECT count(*) FROM app) AS in_logs,
               (SELECT count(*) FROM app WHERE reject_reason IS NOT NULL) AS rejects,
               (SELECT count(*) FROM duplicates WHERE stream = 'app') AS duplicates""")
    )
    sent, rejects = truth["sent"]["lines"], truth["rejects"]["bad_format"]
    in_logs = truth["records"] + rejects
    found = (
        f"{sent:,} lines were sent, {counts['received']:,} received: {counts['in_logs']:,} in logs and "
        f"{counts['duplicates']:,} in duplicates"
    )
    wanted = {"received": sent, "in_logs": in_logs, "rejects": rejects, "duplicates": truth["duplicates"]}
    return Finding("complete", found, counts == wanted)


def _real_logs(query: Query) -> Finding:
    rows = query(
        "SELECT count(*) AS lines, count(reject_reason) AS rejects, min(reject_reason) AS reason FROM apache_access"
    )
    row = _one(rows)
    found = f"{row['lines']:,} requests of May 2015, of which {row['rejects']} is cut short ({row['reason']})"
    return Finding("real logs", found, (row["lines"], row["rejects"]) == (APACHE_LINES, 1))


def _silent_host(query: Query, times: Times) -> Finding:
    rows = query(
        "SELECT host, max(event_time) AS last FROM app WHERE reject_reason IS NULL GROUP BY host ORDER BY last, host"
    )
    quiet, others = rows[0], rows[1:]
    hours = int((min(row["last"] for row in others) - quiet["last"]).total_seconds() // 3600)
    found = f"{quiet['host']} says nothing since {_time(quiet['last'])}: {hours} hours less than the others"
    ended = _time(quiet["last"]) < times.silent
    return Finding("silent host", found, quiet["host"] == SILENT_HOST and ended and hours > 0)


def _late_file(query: Query, times: Times, truth: dict[str, Any]) -> Finding:
    rows = query("""
        SELECT host, strftime(date_trunc('hour', minute), '%Y-%m-%dT%H') AS hour, sum(late_lines)::BIGINT AS late
        FROM minute_counters WHERE stream = 'app' AND late_lines > 0 GROUP BY ALL ORDER BY late DESC""")
    row = rows[0] if rows else {"host": "nobody", "hour": "-", "late": 0}
    found = f"{row['late']:,} records of {row['host']} came more than a day late, and are in their hour, {row['hour']}"
    wanted = (LATE_HOST, times.late, truth["late"])
    return Finding("late file", found, len(rows) == 1 and (row["host"], row["hour"], row["late"]) == wanted)


def _renamed_key(query: Query, times: Times) -> Finding:
    rows = query(f"""
        SELECT period, key, coverage_pct FROM key_coverage
        WHERE stream = 'app' AND grain = 'hour' AND log_type = 'payment' AND key IN ('user_id', 'userId')
          AND period IN ('{times.before_renamed}', '{times.renamed}')""")
    coverage = {(row["period"], row["key"]): row["coverage_pct"] or 0 for row in rows}
    after = {key: coverage.get((times.renamed, key), 0) for key in ("user_id", "userId")}
    before = coverage.get((times.before_renamed, "user_id"), 0)
    found = (
        f"payment.user_id falls from {before:.0f} % to {after['user_id']:.0f} % in hour {times.renamed}, "
        f"where userId appears with {after['userId']:.0f} %: {RENAMED_IN} renamed it"
    )
    return Finding("renamed key", found, (before, after["user_id"], after["userId"]) == (100, 0, 100))


def _broken_lines(query: Query, truth: dict[str, Any]) -> Finding:
    rows = query("""
        SELECT source, reject_reason AS reason, count(*) AS lines FROM app WHERE reject_reason IS NOT NULL
        GROUP BY ALL ORDER BY lines DESC""")
    row = rows[0] if rows else {"source": "-", "reason": "-", "lines": 0}
    found = f"{row['lines']} lines of {row['source']} do not parse ({row['reason']}); the lines around them are in"
    wanted = len(rows) == 1 and row["lines"] == truth["rejects"]["bad_format"] and BROKEN_HOST in row["source"]
    return Finding("broken lines", found, wanted)


def _duplicates(query: Query, truth: dict[str, Any]) -> Finding:
    row = _one(query("SELECT count(*) AS lines, count(DISTINCT event_id) AS ids FROM duplicates WHERE stream = 'app'"))
    found = f"{row['lines']:,} lines say again what was said: kept in duplicates, counted once in every report"
    return Finding("duplicates", found, row["lines"] == truth["duplicates"])


def _one(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return rows[0]


def _time(moment: Any) -> str:  # noqa: ANN401  (a datetime, aware or not, always UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
