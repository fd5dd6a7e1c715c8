"""Every mart at every grain on the real sample, against a plain computation in Python."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from statistics import mean

import pytest

from nw_platform.record.hours import period_of, to_us
from nw_platform.reports.views import execute, open_sql

KEYS = ("remote_host", "ident", "remote_user", "method", "path", "protocol", "status", "bytes_sent", "referrer",
        "user_agent")  # fmt: skip
NUMBERS = ("status", "bytes_sent")
GRAINS = ("hour", "day", "week", "month", "all")


@pytest.fixture(scope="module")
def sql(apache):
    connection = open_sql(apache.lake, apache.settings, to_us(apache.rows[-1]["event_time"]))
    return lambda query: execute(connection, query).mappings()


def periods(rows, grain):
    found = defaultdict(list)
    for row in rows:
        found[period_of(grain, row["event_time"].strftime("%Y-%m-%dT%H"))].append(row)
    return found


def quantile(numbers, share):
    return sorted(numbers)[math.ceil(share * len(numbers)) - 1]


@pytest.mark.parametrize("grain", GRAINS)
def test_types_and_summary(apache, sql, grain):
    types = {row["period"]: row for row in sql(f"SELECT * FROM log_type_report WHERE grain = '{grain}'")}
    summary = {row["period"]: row for row in sql(f"SELECT * FROM summary_report WHERE grain = '{grain}'")}
    truth = periods(apache.rows, grain)
    assert types.keys() == summary.keys() == truth.keys()
    for period, rows in truth.items():
        errors = sum(row["series"] == "error" for row in rows)
        size = sum(row["size_bytes"] for row in rows)
        times = [row["event_time"].replace(tzinfo=None) for row in rows]
        got = types[period]
        assert (got["lines"], got["bytes"], got["stream"], got["log_type"]) == (len(rows), size, "apache", "apache")
        assert got["avg_bytes"] == pytest.approx(size / len(rows))
        assert got["error_pct"] == pytest.approx(100 * errors / len(rows))
        assert (got["first_time"], got["last_time"]) == (min(times), max(times))
        assert got["minutes_present"] == len({time.replace(second=0) for time in times})
        assert (got["hosts"], got["share_pct"]) == (0, 100)
        got = summary[period]
        assert (got["lines"], got["bytes"], got["error"], got["normal"]) == (
            len(rows),
            size,
            errors,
            len(rows) - errors,
        )
        assert (got["duplicates"], got["completeness_pct"], got["spill_pct"]) == (0, None, 0)


@pytest.mark.parametrize("grain", GRAINS)
def test_keys(apache, sql, grain):
    got = {(r["period"], r["key"]): r for r in sql(f"SELECT * FROM key_coverage WHERE grain = '{grain}'")}
    truth = periods(apache.rows, grain)
    assert got.keys() == {(period, key) for period in truth for key in KEYS}
    for period, rows in truth.items():
        parsed = [row for row in rows if row.get("reject_reason") is None]
        for key in KEYS:
            values = [row[key] for row in parsed]
            nulls = sum(value is None for value in values)
            blanks = sum(isinstance(value, str) and not value.strip() for value in values)
            row = got[period, key]
            assert (row["records"], row["present"], row["nulls"], row["blanks"], row["filled"]) == (
                len(parsed), len(parsed), nulls, blanks, len(parsed) - nulls - blanks,
            )  # fmt: skip
            assert row["presence_pct"] == 100
            assert row["coverage_pct"] == pytest.approx(100 * row["filled"] / len(parsed))


@pytest.mark.parametrize("grain", GRAINS)
def test_values(apache, sql, grain):
    got = {(r["period"], r["key"]): r for r in sql(f"SELECT * FROM value_coverage WHERE grain = '{grain}'")}
    top = defaultdict(list)
    for row in sql(f"SELECT * FROM value_coverage_top WHERE grain = '{grain}' ORDER BY rank"):
        top[row["period"], row["key"]].append((row["value"], row["count"]))
        assert row["pct"] == pytest.approx(100 * row["count"] / got[row["period"], row["key"]]["filled"])
    for period, rows in periods(apache.rows, grain).items():
        parsed = [row for row in rows if row.get("reject_reason") is None]
        for key in KEYS:
            values = [row[key] for row in parsed if row[key] is not None and str(row[key]).strip()]
            row = got[period, key]
            counts = Counter(map(shown, values))
            assert (row["filled"], row["distinct_values"], row["distinct_is_exact"]) == (len(values), len(counts), True)
            assert top[period, key] == sorted(counts.items(), key=lambda item: (-item[1], item[0].encode()))[:20]
            if not values:
                assert row["entropy_bits"] is None
                continue
            shares = [count / len(values) for count in counts.values()]
            assert row["entropy_bits"] == pytest.approx(-sum(p * math.log2(p) for p in shares), abs=1e-9)
            assert row["unique_pct"] == pytest.approx(100 * len(counts) / len(values))
            lengths = [len(str(value)) for value in values]
            assert (row["len_min"], row["len_max"]) == (min(lengths), max(lengths))
            assert row["len_avg"] == pytest.approx(mean(lengths))
            if key in NUMBERS:
                assert (row["min"], row["max"]) == (str(min(values)), str(max(values)))
                assert row["mean"] == pytest.approx(mean(values))
                assert (row["p50"], row["p95"]) == (quantile(values, 0.5), quantile(values, 0.95))
            else:
                assert (row["min"], row["max"], row["mean"]) == (min(values)[:256], max(values)[:256], None)


def shown(value):
    """A long value is cut and told apart by a hash."""
    text = str(value)
    return text if len(text) <= 256 else f"{text[:220]}#{hashlib.md5(text.encode()).hexdigest()}"  # noqa: S324


def test_minutes(apache, sql):
    truth = Counter(row["event_time"].replace(tzinfo=None, second=0) for row in apache.rows)
    got = Counter()
    for row in sql("SELECT minute, lines, first_time, last_time FROM minute_counters"):
        got[row["minute"]] += row["lines"]
        assert row["minute"] == row["first_time"].replace(second=0) == row["last_time"].replace(second=0)
    assert got == truth


def test_the_known_truths(sql):
    day = "grain = 'day' AND period = '2015-05-18'"
    assert sql(f"SELECT lines, bytes, minutes_present FROM log_type_report WHERE {day}") == [
        {"lines": 2893, "bytes": 673487, "minutes_present": 24}
    ]
    (referrer,) = sql(f"SELECT present, nulls, coverage_pct FROM key_coverage WHERE {day} AND key = 'referrer'")
    assert (referrer["present"], referrer["nulls"], round(referrer["coverage_pct"], 2)) == (2893, 1260, 56.45)
    (status,) = sql(f"SELECT distinct_values, entropy_bits FROM value_coverage WHERE {day} AND key = 'status'")
    assert (status["distinct_values"], round(status["entropy_bits"], 3)) == (7, 0.710)
    top = sql(f"SELECT value, count FROM value_coverage_top WHERE {day} AND key = 'status' ORDER BY rank")
    assert [(row["value"], row["count"]) for row in top] == [
        ("200", 2534), ("304", 240), ("404", 63), ("301", 49), ("206", 4), ("500", 2), ("403", 1),
    ]  # fmt: skip
    assert [row["reason"] for row in sql("SELECT reason FROM rejects")] == ["bad_format"]
    assert sql("SELECT count(*) AS n FROM apache WHERE dt = '2015-05-18'") == [{"n": 2893}]
