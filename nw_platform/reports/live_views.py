"""The SQL of views over `logs` itself: they are as new as the last batch, also before reports are built."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from nw_platform.lake.engine import literal, quoted
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


def host_status(streams: Mapping[str, str], now: datetime) -> str:
    """Hosts and processes by their last record, the hosts of the configuration (`nw.hosts`), and what senders say."""
    moment = f"TIMESTAMP {literal(now.strftime('%Y-%m-%d %H:%M:%S.%f'))}"
    all_logs = logs(streams)
    first_seen, last_seen = _utc("min(event_time)"), _utc("max(event_time)")
    ledgers = " UNION ALL ".join(
        f"SELECT host, process, extra FROM ({sql}) WHERE log_type = 'nw.ledger' AND series = 'watchdog'"
        for sql in streams.values()
    )
    return f"""WITH seen AS (
        SELECT host, process, last(datacenter ORDER BY event_time) AS datacenter, {first_seen} AS first_seen,
            {last_seen} AS last_seen
        FROM ({all_logs}) WHERE host IS NOT NULL GROUP BY host, process),
    ledgers AS (
        SELECT DISTINCT host, process, epoch_ms((extra ->> '$.minute')::BIGINT) AS minute,
            list_sum(from_json(json_extract(extra, '$.counts[*].lines')::JSON, '["BIGINT"]')) AS lines
        FROM ({ledgers or "SELECT NULL::VARCHAR AS host, NULL::VARCHAR AS process, NULL::VARCHAR AS extra WHERE false"})
        WHERE json_valid(extra)),
    said AS (SELECT host, process, minute, max(lines) AS lines FROM ledgers GROUP BY ALL),
    counted AS (
        SELECT l.host, l.process, date_trunc('minute', {_utc("l.event_time")}) AS minute, count(*) AS lines
        FROM ({all_logs}) AS l
        WHERE l.log_type NOT IN ('nw.ledger', 'nw.heartbeat') AND (SELECT count(*) FROM said) > 0 GROUP BY ALL),
    balance AS (
        SELECT s.host, s.process, sum(s.lines)::BIGINT AS sent, coalesce(sum(c.lines), 0)::BIGINT AS received
        FROM said AS s LEFT JOIN counted AS c ON c.host = s.host AND c.process IS NOT DISTINCT FROM s.process
            AND c.minute = s.minute
        GROUP BY ALL),
    listed AS (
        SELECT h.host, NULL::VARCHAR AS process, h.datacenter, NULL::TIMESTAMP AS first_seen,
            NULL::TIMESTAMP AS last_seen
        FROM nw.hosts AS h WHERE h.host NOT IN (SELECT host FROM seen))
    SELECT a.host, a.process, a.datacenter, a.first_seen, a.last_seen,
        CASE WHEN a.last_seen IS NOT NULL THEN greatest(date_diff('second', a.last_seen, {moment}) // 60, 0) END::BIGINT
            AS minutes_silent,
        CASE WHEN a.last_seen IS NULL THEN 'never_seen'
            WHEN {moment} - a.last_seen < INTERVAL {OK_MINUTES} MINUTE THEN 'ok'
            WHEN {moment} - a.last_seen < INTERVAL {LATE_MINUTES} MINUTE THEN 'late' ELSE 'down' END AS state,
        b.sent, b.received, CASE WHEN b.sent IS NOT NULL THEN greatest(b.sent - b.received, 0) END AS lost
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
