"""The SQL of the views over report files: what compares a period with others, or with the configuration.

Each function takes SQL relations over the files (their stored columns, `grain` and `dt`) and returns a SELECT with the
columns of `tables.py`. The relations are inlined (NOT MATERIALIZED), so that a filter on `grain` reads only that grain.
"""

from __future__ import annotations

from typing import Final

_TYPE: Final = "grain, stream, log_type, log_version"
_KEY: Final = f"{_TYPE}, key"

# The period before one, by grain; null for `all`.
PREVIOUS: Final = """CASE grain
    WHEN 'hour' THEN strftime(strptime(period, '%Y-%m-%dT%H') - INTERVAL 1 HOUR, '%Y-%m-%dT%H')
    WHEN 'day' THEN strftime(period::DATE - INTERVAL 1 DAY, '%Y-%m-%d')
    WHEN 'week' THEN strftime(period::DATE - INTERVAL 7 DAY, '%Y-%m-%d')
    WHEN 'month' THEN strftime(period::DATE - INTERVAL 1 MONTH, '%Y-%m-%d') END"""

_FAMILY: Final = """CASE WHEN x IN ('int32', 'int64', 'float64', 'integer', 'number') THEN 'number'
    WHEN x IN ('string', 'timestamp', 'date') THEN 'text' WHEN x IN ('bool', 'boolean') THEN 'truth' ELSE x END"""


def log_type_report(files: str) -> str:
    """A type keeps a row, with 0 lines, in every later period that has a report.

    Of a stream that is missing from a period (`nw.gaps`) nothing is said there: it is not known to have no lines.
    """
    return f"""WITH files AS NOT MATERIALIZED ({files}),
    spans AS (SELECT {_TYPE}, min(period) AS first_period FROM files GROUP BY ALL),
    periods AS (SELECT DISTINCT grain, dt, period FROM files),
    grid AS (
        SELECT p.dt, p.period, spans.*
        FROM periods AS p JOIN spans ON p.grain = spans.grain AND p.period >= spans.first_period),
    full_rows AS (
        SELECT grid.grain, grid.dt, grid.period, grid.stream, grid.log_type, grid.log_version, grid.first_period,
            coalesce(f.lines, 0) AS lines, coalesce(f.bytes, 0) AS bytes, f.avg_bytes, coalesce(f.hosts, 0) AS hosts,
            coalesce(f.processes, 0) AS processes, f.first_time, f.last_time, f.error_pct,
            coalesce(f.share_pct, CASE WHEN f.period IS NULL THEN 0 END) AS share_pct,
            coalesce(f.minutes_present, 0) AS minutes_present
        FROM grid LEFT JOIN files AS f ON f.grain = grid.grain AND f.period = grid.period AND f.stream = grid.stream
            AND f.log_type = grid.log_type AND f.log_version = grid.log_version
        WHERE f.period IS NOT NULL OR (grid.grain, grid.period, grid.stream) NOT IN
            (SELECT (grain, period, stream) FROM nw.gaps WHERE part = 'all')),
    compared AS (
        SELECT *, CASE WHEN period = first_period THEN NULL
            WHEN lag(period) OVER before = {PREVIOUS} THEN lag(lines) OVER before
            WHEN (grain, {PREVIOUS}, stream) IN (SELECT (grain, period, stream) FROM nw.gaps) THEN NULL
            ELSE 0 END AS lines_previous
        FROM full_rows WINDOW before AS (PARTITION BY {_TYPE} ORDER BY period))
    SELECT grain, dt, period, stream, log_type, log_version, lines, bytes, avg_bytes, hosts, processes, first_time,
        last_time, error_pct, lines_previous,
        100.0::DOUBLE * (lines - lines_previous) / nullif(lines_previous, 0) AS change_pct, share_pct, minutes_present,
        CASE WHEN lines > 0 AND period = first_period THEN 'new' WHEN lines > 0 THEN 'active'
            WHEN lines_previous > 0 THEN 'vanished' ELSE 'silent' END AS status
    FROM compared"""


def key_coverage(files: str, all_files: str) -> str:
    """A key keeps a row, with present 0, for up to 7 periods after it was last there.

    Args:
        files: the stored rows of every grain.
        all_files: those of grain `all` only.
        `nw.declared` (stream, key) is a table of the connection: the declared columns.
    """
    return f"""WITH files AS NOT MATERIALIZED ({files}),
    -- of a type with other keys nobody can say of a key without a row that it is not there
    types AS (SELECT grain, dt, period, stream, log_type, log_version, any_value(records) AS records,
        count(other_keys) > 0 AS has_others FROM files GROUP BY ALL),
    spans AS (SELECT {_KEY}, min(period) AS first_period FROM files GROUP BY ALL),
    grid AS (
        SELECT t.*, spans.key, spans.first_period FROM types AS t JOIN spans ON t.grain = spans.grain
            AND t.stream = spans.stream AND t.log_type = spans.log_type AND t.log_version = spans.log_version
            AND t.period >= spans.first_period),
    full_rows AS (
        SELECT g.grain, g.dt, g.period, g.stream, g.log_type, g.log_version, g.key, g.first_period, g.records,
            coalesce(f.present, 0) AS present, coalesce(f.nulls, 0) AS nulls, coalesce(f.blanks, 0) AS blanks,
            coalesce(f.filled, 0) AS filled,
            coalesce(f.presence_pct, CASE WHEN g.records > 0 AND f.key IS NULL THEN 0.0 END) AS presence_pct,
            coalesce(f.coverage_pct, CASE WHEN g.records > 0 AND f.key IS NULL THEN 0.0 END) AS coverage_pct,
            coalesce(f.types, []) AS types, coalesce(f.hosts_with_key, 0) AS hosts_with_key, f.first_time, f.last_time,
            list_sort(list_distinct(list_transform(coalesce(f.types, []), lambda x: {_FAMILY}))) AS families,
            f.other_keys, f.counts_are_exact
        FROM grid AS g LEFT JOIN files AS f ON f.grain = g.grain AND f.period = g.period AND f.stream = g.stream
            AND f.log_type = g.log_type AND f.log_version = g.log_version AND f.key = g.key
        WHERE f.key IS NOT NULL OR NOT g.has_others
            AND (g.grain, g.period, g.stream) NOT IN (SELECT (grain, period, stream) FROM nw.gaps)),
    compared AS (
        SELECT *, CASE WHEN coalesce(counts_are_exact, true)
                THEN coverage_pct - median(coverage_pct) OVER week_before END AS delta_pp,
            max(present) OVER week_before AS present_before,
            lag(families) OVER one_before AS families_before
        FROM full_rows WINDOW
            week_before AS (PARTITION BY {_KEY} ORDER BY period ROWS BETWEEN 7 PRECEDING AND 1 PRECEDING),
            one_before AS (PARTITION BY {_KEY} ORDER BY period)),
    seen AS (SELECT stream, log_type, log_version, key, first_time AS first_seen, last_time AS last_seen
        FROM ({all_files}))
    SELECT grain, dt, period, stream, log_type, log_version, key, records, present, nulls, blanks, filled,
        presence_pct, coverage_pct, types, hosts_with_key, delta_pp, first_seen, last_seen,
        CASE WHEN other_keys IS NOT NULL THEN 'other_keys'
            WHEN len(families) > 1 OR (len(families) = 1 AND len(families_before) = 1 AND families <> families_before)
                THEN 'type_conflict'
            WHEN present = 0 THEN 'vanished'
            WHEN period = first_period THEN 'new'
            WHEN stream IN (SELECT stream FROM nw.declared)
                AND (stream, split_part(replace(key, '[]', ''), '.', 1)) NOT IN (SELECT (stream, key) FROM nw.declared)
                AND key NOT IN ('host', 'ip', 'process', 'pid', 'severity', 'message') THEN 'unexpected'
            WHEN delta_pp < -10 THEN 'low' ELSE 'ok' END AS status,
        first_time, last_time, other_keys, coalesce(counts_are_exact, true) AS counts_are_exact
    FROM compared LEFT JOIN seen USING (stream, log_type, log_version, key)
    WHERE present > 0 OR present_before > 0"""


def value_coverage(files: str, values: str) -> str:
    """With what the expected values (`nw.domains`: stream, key, value) say; `values` as from `values_by_grain`."""
    return f"""WITH files AS NOT MATERIALIZED ({files}),
    domains AS (SELECT stream, key, list(value ORDER BY value) AS expected FROM nw.domains GROUP BY ALL),
    counted AS (
        SELECT v.grain, v.period, v.stream, v.log_type, v.log_version, v.key, v.value, sum(v.count) AS count,
            any_value(list_contains(d.expected, v.value)) AS valid
        FROM ({values}) AS v JOIN domains AS d ON d.stream = v.stream AND d.key = v.key
        GROUP BY ALL),
    judged AS (
        SELECT grain, period, stream, log_type, log_version, key,
            list(value ORDER BY value) FILTER (valid) AS seen,
            sum(count) FILTER (valid) AS valid_count,
            (list(value ORDER BY count DESC, value) FILTER (NOT valid))[:20] AS unexpected
        FROM counted GROUP BY ALL)
    SELECT f.grain, f.dt, f.period, f.stream, f.log_type, f.log_version, f.key, f.filled, f.distinct_values,
        f.distinct_is_exact, f.unique_pct, f.entropy_bits, f.min, f.max, f.mean, f.p50, f.p95, f.len_min, f.len_avg,
        f.len_max, f.other_keys,
        100.0::DOUBLE * len(coalesce(j.seen, [])) / len(d.expected) AS domain_coverage_pct,
        CASE WHEN d.expected IS NOT NULL THEN 100.0::DOUBLE * coalesce(j.valid_count, 0) / nullif(f.filled, 0) END
            AS valid_pct,
        CASE WHEN d.expected IS NOT NULL THEN coalesce(j.unexpected, []) END AS unexpected_values,
        list_filter(d.expected, lambda x: NOT list_contains(coalesce(j.seen, []), x))[:20] AS missing_values
    FROM files AS f LEFT JOIN domains AS d ON d.stream = f.stream AND d.key = f.key
    LEFT JOIN judged AS j ON j.grain = f.grain AND j.period = f.period AND j.stream = f.stream
        AND j.log_type = f.log_type AND j.log_version = f.log_version AND j.key = f.key"""


def value_coverage_top(files: str, months: str) -> str:
    """`months`: the value counts of all months, for when a value was first seen."""
    return f"""WITH domains AS (SELECT stream, key, list(value) AS expected FROM nw.domains GROUP BY ALL),
    seen AS (SELECT stream, log_type, log_version, key, value, min(first_time) AS first_seen
        FROM ({months}) GROUP BY ALL)
    SELECT f.grain, f.dt, f.period, f.stream, f.log_type, f.log_version, f.key, f.rank, f.value, f.count, f.pct,
        list_contains(d.expected, f.value) AS in_domain, s.first_seen, f.first_time
    FROM ({files}) AS f LEFT JOIN domains AS d ON d.stream = f.stream AND d.key = f.key
    LEFT JOIN seen AS s ON s.stream = f.stream AND s.log_type = f.log_type AND s.log_version = f.log_version
        AND s.key = f.key AND s.value = f.value"""


def values_by_grain(files: str) -> str:
    """Value counts at every grain, from those that are stored by hour, day and month."""
    day, month = f"(SELECT * FROM ({files}) WHERE grain = 'day')", f"(SELECT * FROM ({files}) WHERE grain = 'month')"
    rest = "stream, log_type, log_version, key, value, count"
    return f"""SELECT grain, period, {rest} FROM ({files})
      UNION ALL SELECT 'week', strftime(date_trunc('week', period::DATE), '%Y-%m-%d'), {rest} FROM {day}
      UNION ALL SELECT 'all', 'all', {rest} FROM {month}"""


def summary_report(files: str, alerts: str, ledgers: str, minutes: str) -> str:
    """Adds expected hosts (`nw.hosts`: host, datacenter), what was lost, and the alerts that are open now.

    Args:
        files: the stored rows.
        alerts: all transitions.
        ledgers: what senders say they sent, as from `live_views.ledgers`.
        minutes: the stored rows of minute_counters.
    """
    return f"""WITH said AS (
        SELECT stream, datacenter, host, process, minute, log_type, series, sum(lines) AS lines
        FROM ({ledgers}) GROUP BY ALL),
    counted AS (
        SELECT stream, host, process, minute, log_type, series, sum(lines) AS lines
        FROM ({minutes}) WHERE minute IN (SELECT minute FROM said) GROUP BY ALL),
    balance AS (
        SELECT strftime(s.minute, '%Y-%m-%dT%H') AS hour, s.datacenter, sum(s.lines) AS sent,
            sum(least(s.lines, coalesce(c.lines, 0))) AS received
        FROM said AS s LEFT JOIN counted AS c ON c.stream = s.stream AND c.host IS NOT DISTINCT FROM s.host
            AND c.process IS NOT DISTINCT FROM s.process AND c.minute = s.minute AND c.log_type = s.log_type
            AND c.series = s.series
        GROUP BY ALL),
    balances AS (
        SELECT g.grain, CASE g.grain WHEN 'hour' THEN hour WHEN 'day' THEN left(hour, 10)
            WHEN 'week' THEN strftime(date_trunc('week', left(hour, 10)::DATE), '%Y-%m-%d')
            WHEN 'month' THEN left(hour, 7) || '-01' ELSE 'all' END AS period,
            datacenter, sum(sent)::BIGINT AS sent, sum(received)::BIGINT AS received
        FROM balance, (VALUES ('hour'), ('day'), ('week'), ('month'), ('all')) AS g(grain) GROUP BY ALL),
    expected AS (SELECT datacenter, count(*) AS hosts FROM nw.hosts GROUP BY ALL),
    latest AS (
        SELECT key, partition, last(transition ORDER BY time) AS transition FROM ({alerts}) GROUP BY ALL),
    open_alerts AS (SELECT partition FROM latest WHERE transition <> 'resolved')
    SELECT f.grain, f.dt, f.period, f.datacenter, f.hosts_reporting,
        CASE WHEN (SELECT count(*) FROM nw.hosts) > 0 THEN coalesce(e.hosts, 0) END AS hosts_expected,
        f.log_types, f.lines, f.bytes, f.normal, f.error, f.watchdog, f.normal_spill, f.error_spill, f.watchdog_spill,
        f.error_pct, f.spill_pct, f.late_pct, f.duplicates, b.sent - b.received AS lost,
        100.0::DOUBLE * b.received / b.sent AS completeness_pct,
        (SELECT count(*) FROM open_alerts AS a WHERE CASE f.grain WHEN 'all' THEN true WHEN 'hour' THEN
            a.partition = f.period WHEN 'day' THEN left(a.partition, 10) = f.period
            WHEN 'week' THEN strftime(date_trunc('week', try_cast(left(a.partition, 10) AS DATE)),
                '%Y-%m-%d') = f.period
            ELSE left(a.partition, 7) = left(f.period, 7) END) AS open_alerts
    FROM ({files}) AS f LEFT JOIN expected AS e ON e.datacenter IS NOT DISTINCT FROM f.datacenter
    LEFT JOIN balances AS b ON b.grain = f.grain AND b.period = f.period
        AND b.datacenter IS NOT DISTINCT FROM f.datacenter"""
