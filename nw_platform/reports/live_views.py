"""The SQL of views over `logs` itself: they are as new as the last batch, also before reports are built."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from nw_platform.lake.engine import literal, quoted
from nw_platform.record.hosts import plain_host_sql
from nw_platform.reports.scans import files_scan
from nw_platform.reports.tables import TABLES

OK_MINUTES: Final = 5
LATE_MINUTES: Final = 15


def logs(streams: Mapping[str, str]) -> str:
    """All streams, with the columns that all have. `streams`: name -> SELECT of its records."""
    columns = {c.name: c.kind for c in TABLES["logs"].columns}
    listed = ", ".join(quoted(name) for name in columns)
    parts = [
        f"SELECT {listed} FROM (SELECT {literal(name)} AS stream, * FROM ({sql}))" for name, sql in streams.items()
    ]
    return " UNION ALL ".join(parts) if parts else files_scan([], columns, ())


def ledgers(streams: Mapping[str, str]) -> str:
    """What senders say they sent (`nw.ledger`), a row each minute, type and series: lines.

    Ledgers of one minute add up: late records get one of their own, and one that is sent again is a duplicate.
    """
    shape = '[{"type": "VARCHAR", "series": "VARCHAR", "lines": "BIGINT"}]'
    parts = [
        f"""SELECT {literal(name)} AS stream, datacenter, host, process, minute, coalesce(c.type, {literal(name)})
            AS log_type, coalesce(c.series, 'normal') AS series, c.lines AS lines
        FROM (SELECT datacenter, host, process, date_trunc('minute',
                make_timestamp(TRY_CAST(extra ->> '$.minute' AS BIGINT) * 1000)) AS minute,
                unnest(json_transform(json_extract(extra, '$.counts'), {literal(shape)})) AS c
            FROM (SELECT datacenter, host, process, CASE WHEN json_valid(extra) THEN extra END AS extra FROM ({sql})
                WHERE log_type = 'nw.ledger' AND series = 'watchdog'))
        WHERE c.lines > 0 AND minute IS NOT NULL"""
        for name, sql in streams.items()
    ]
    columns = dict.fromkeys(("stream", "datacenter", "host", "process", "log_type", "series"), "VARCHAR")
    return " UNION ALL ".join(parts) or files_scan([], {**columns, "minute": "TIMESTAMP", "lines": "BIGINT"}, ())


def host_status(streams: Mapping[str, str], now: datetime) -> str:
    """Hosts and processes by their last record, the hosts of the configuration (`nw.hosts`), and what senders say."""
    moment = f"TIMESTAMP {literal(now.strftime('%Y-%m-%d %H:%M:%S.%f'))}"
    all_logs = f"SELECT * REPLACE ({plain_host_sql('host')} AS host) FROM ({logs(streams)})"
    names_seen = "SELECT host FROM seen UNION ALL SELECT lower(host || '.' || datacenter) FROM seen"
    first_seen, last_seen = _utc("min(event_time)"), _utc("max(event_time)")
    return f"""WITH seen AS MATERIALIZED (
        SELECT host, process, last(datacenter ORDER BY event_time) AS datacenter, {first_seen} AS first_seen,
            {last_seen} AS last_seen
        FROM ({all_logs}) WHERE host IS NOT NULL GROUP BY host, process),
    said AS (SELECT stream, host, process, minute, log_type, series, sum(lines) AS lines
        FROM (SELECT * REPLACE ({plain_host_sql("host")} AS host) FROM ({ledgers(streams)})) GROUP BY ALL),
    counted AS (
        SELECT l.stream, l.host, l.process, date_trunc('minute', {_utc("l.event_time")}) AS minute, l.log_type,
            l.series, count(*) AS lines
        FROM ({all_logs}) AS l WHERE (SELECT count(*) FROM said) > 0 GROUP BY ALL),
    balance AS (
        SELECT s.host, s.process, sum(s.lines)::BIGINT AS sent,
            sum(least(s.lines, coalesce(c.lines, 0)))::BIGINT AS received
        FROM said AS s LEFT JOIN counted AS c ON c.stream = s.stream AND c.host IS NOT DISTINCT FROM s.host
            AND c.process IS NOT DISTINCT FROM s.process AND c.minute = s.minute AND c.log_type = s.log_type
            AND c.series = s.series
        GROUP BY ALL),
    listed AS (
        SELECT h.host, NULL::VARCHAR AS process, h.datacenter, NULL::TIMESTAMP AS first_seen,
            NULL::TIMESTAMP AS last_seen
        FROM nw.hosts AS h ANTI JOIN ({names_seen}) AS s ON s.host = h.host)
    SELECT a.host, a.process, a.datacenter, a.first_seen, a.last_seen,
        CASE WHEN a.last_seen IS NOT NULL THEN greatest(date_diff('second', a.last_seen, {moment}) // 60, 0) END::BIGINT
            AS minutes_silent,
        CASE WHEN a.last_seen IS NULL THEN 'never_seen'
            WHEN {moment} - a.last_seen < INTERVAL {OK_MINUTES} MINUTE THEN 'ok'
            WHEN {moment} - a.last_seen < INTERVAL {LATE_MINUTES} MINUTE THEN 'late' ELSE 'down' END AS state,
        b.sent, b.received, b.sent - b.received AS lost
    FROM (SELECT * FROM seen UNION ALL SELECT * FROM listed) AS a
    LEFT JOIN balance AS b ON b.host = a.host AND b.process IS NOT DISTINCT FROM a.process"""


def _utc(time: str) -> str:
    """A time with a zone as one without, in UTC; DuckDB's own cast goes through calendars: ten times as slow."""
    return f"make_timestamp(epoch_us({time}))"


def sequence_gaps(streams: Mapping[str, str], duplicates: str) -> str:
    """Numbers that are missing between two records of a session, duplicates counted as seen."""
    return f"""WITH records AS (
        SELECT stream, host, process, session, seq, {_utc("event_time")} AS event_time FROM ({logs(streams)})
        WHERE session IS NOT NULL AND seq IS NOT NULL
      UNION ALL
        SELECT stream, host, process, session, seq, {_utc("event_time")} AS event_time FROM ({duplicates})
        WHERE session IS NOT NULL AND seq IS NOT NULL),
    ordered AS (
        SELECT stream, host, process, session, seq, event_time, lag(seq) OVER w AS seq_before,
            lag(event_time) OVER w AS time_before
        FROM records WINDOW w AS (PARTITION BY session ORDER BY seq, event_time))
    SELECT stream, host, process, session, seq_before + 1 AS first_missing, seq - 1 AS last_missing,
        seq - seq_before - 1 AS missing,
        strftime(time_before, '%Y-%m-%dT%H:%M:%SZ') || '/' || strftime(event_time, '%Y-%m-%dT%H:%M:%SZ') AS "window"
    FROM ordered WHERE seq - seq_before > 1"""
