"""Every table that SQL sees: its columns, their types and what they mean. Views, DDL and docs/tables.md follow this.

`stored` columns are in the report files. The others look at other periods, at the configuration or at the clock, and
are computed by views, so that a late record changes the files of its own periods and no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `kind` is a DuckDB type; `stored` False: computed by the view."""

    name: str
    kind: str
    meaning: str
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `grains`: those that report files exist for; empty: no report files."""

    name: str
    row: str  # one row per ...
    columns: Sequence[Column]
    grains: Sequence[str] = ()
    internal: bool = False  # an intermediate table: stable for no reader but our own views

    def stored(self) -> dict[str, str]:
        """The columns of the report files: name -> type."""
        return {column.name: column.kind for column in self.columns if column.stored}


GRAINS: Final = ("hour", "day", "week", "month", "all")
_TEXT, _INT, _BIG, _TIME, _REAL, _TRUTH = "VARCHAR", "INTEGER", "BIGINT", "TIMESTAMP", "DOUBLE", "BOOLEAN"
_INSTANT: Final = "TIMESTAMP WITH TIME ZONE"  # as Delta tables store times: any other type would defeat filters


def _c(name: str, kind: str, meaning: str) -> Column:
    return Column(name, kind, meaning)


def _v(name: str, kind: str, meaning: str) -> Column:
    return Column(name, kind, meaning, stored=False)


_PERIOD: Final = (
    _v("grain", _TEXT, "`hour`, `day`, `week`, `month` or `all`"),
    _v("dt", _TEXT, "day of the hour, else the first day of the period, or `all`"),
    _c("period", _TEXT, "the hour as `2026-11-22T05`, else the first day of the period (Monday for weeks), or `all`"),
)
_TYPE: Final = (
    _c("stream", _TEXT, "the stream"),
    _c("log_type", _TEXT, "type of the records; the stream's name unless a record says otherwise"),
    _c("log_version", _INT, "version of the type; 0 unless a record says otherwise"),
)
_KEY: Final = (
    *_PERIOD,
    *_TYPE,
    _c("key", _TEXT, "column, or flattened key of `extra`: `a.b`, arrays `a[].b`"),
)
_OTHER_KEYS: Final = _c(
    "other_keys",
    _BIG,
    'null, but in the row `(other keys)`: how many keys the row stands for; see "Types with very many keys"',
)
_PLACE: Final = (
    _c("source", _TEXT, "topic, or path of the file"),
    _c("source_partition", _INT, "partition of the topic, or number of the content seen under the file's name"),
    _c("source_start", _BIG, "offset, or first byte of the unpacked file"),
    _c("source_end", _BIG, "position after the record"),
)
_SERIES: Final = (
    _c("normal", _BIG, "lines of series normal, spilled ones included"),
    _c("error", _BIG, "lines of series error, rejected ones and spilled ones included"),
    _c("watchdog", _BIG, "lines of series watchdog, spilled ones included"),
    _c("normal_spill", _BIG, "lines of series normal that went through a spool"),
    _c("error_spill", _BIG, "lines of series error that went through a spool"),
    _c("watchdog_spill", _BIG, "lines of series watchdog that went through a spool"),
)

ENVELOPE: Final = (
    _c("event_time", _INSTANT, "when it happened; the received time if that cannot be read"),
    _c("received_time", _INSTANT, "when the source got it, at most the time its batch was planned"),
    _c("ingest_time", _INSTANT, "when its batch was planned"),
    _c("event_id", _TEXT, "identity: the sender's, else derived from the source's incarnation and position"),
    _c("datacenter", _TEXT, "datacenter of the source"),
    _c("host", _TEXT, "host that wrote it, in lower case and without a dot at the end"),
    _c("ip", _TEXT, "address of the host"),
    _c("process", _TEXT, "process that wrote it"),
    _c("pid", _INT, "process id"),
    *_TYPE[1:],
    _c("series", _TEXT, "`normal`, `error` or `watchdog`"),
    _c("spilled", _TRUTH, "it went through a spool"),
    _c("late", _TRUTH, "it arrived long after it happened (24 h, or the stream's `late_after`)"),
    _c("severity", _TEXT, "TRACE, DEBUG, INFO, WARN, ERROR, FATAL, or another word of the sender's in upper case"),
    _c("message", _TEXT, "the line's text; of a rejected record its whole text"),
    _c("reject_reason", _TEXT, "`too_large`, `bad_encoding`, `bad_format`, `bad_time`, `bad_type`; null if it parsed"),
    _c("session", _TEXT, "the sender's session"),
    _c("seq", _BIG, "number of the record in its session; grows by 1"),
    _c("size_bytes", _BIG, "bytes of the original, its line ending included"),
)

_REPORTS: Final = (
    Table(
        "minute_counters",
        "stream, minute, datacenter, host, process, log_type, series, spilled",
        (
            *_PERIOD,
            _TYPE[0],
            _c("minute", _TIME, "first instant of the minute the records happened in"),
            _c("datacenter", _TEXT, "datacenter of the source"),
            _c("host", _TEXT, "host that wrote the records"),
            _c("process", _TEXT, "process that wrote the records"),
            _TYPE[1],
            _c("series", _TEXT, "`normal`, `error` or `watchdog`"),
            _c("spilled", _TRUTH, "they went through a spool"),
            _c("lines", _BIG, "number of records, rejected ones included, duplicates not"),
            _c("bytes", _BIG, "sum of `size_bytes`"),
            _c("first_time", _TIME, "first event time"),
            _c("last_time", _TIME, "last event time"),
            _c("late_lines", _BIG, "records flagged `late`"),
            _c("duplicates", _BIG, "records that were dropped because their id was there already"),
        ),
        ("hour",),
    ),
    Table(
        "summary_report",
        "grain, period, datacenter",
        (
            *_PERIOD,
            _c("datacenter", _TEXT, "datacenter of the source"),
            _c("hosts_reporting", _BIG, "distinct hosts that wrote a record"),
            _v(
                "hosts_expected", _BIG, "hosts listed in the configuration for this datacenter; null if none are listed"
            ),
            _c("log_types", _BIG, "distinct log types with a record"),
            _c("lines", _BIG, "number of records, every series"),
            _c("bytes", _BIG, "sum of `size_bytes`, every series"),
            *_SERIES,
            _c("error_pct", _REAL, "100 * error / (normal + error); null without such lines"),
            _c("spill_pct", _REAL, "100 * spilled lines / lines; null without lines"),
            _c("late_pct", _REAL, "100 * late lines / lines; null without lines"),
            _c("duplicates", _BIG, "records that were dropped because their id was there already"),
            _v("lost", _BIG, "records that senders say they sent (`nw.ledger`) and logs lack; null if none says"),
            _v("completeness_pct", _REAL, "100 * received / sent, of the records senders tell of; null if none says"),
            _v("open_alerts", _BIG, "alerts that are open now for partitions in this period, all datacenters"),
        ),
        GRAINS,
    ),
    Table(
        "log_type_report",
        "grain, period, stream, log_type, log_version",
        (
            *_PERIOD,
            *_TYPE,
            _c("lines", _BIG, "number of records, every series; 0 for a type seen before and not now"),
            _c("bytes", _BIG, "sum of `size_bytes`"),
            _c("avg_bytes", _REAL, "bytes / lines"),
            _c("hosts", _BIG, "distinct hosts"),
            _c("processes", _BIG, "distinct processes"),
            _c("first_time", _TIME, "first event time"),
            _c("last_time", _TIME, "last event time"),
            _c("error_pct", _REAL, "100 * error / (normal + error)"),
            _v("lines_previous", _BIG, "lines of the period before (0 if it had none); null in the first period"),
            _v("change_pct", _REAL, "100 * (lines - lines_previous) / lines_previous; null if that is 0"),
            _c("share_pct", _REAL, "100 * lines / lines of all streams and types in the period"),
            _c("minutes_present", _BIG, "distinct minutes with a record"),
            _v(
                "status",
                _TEXT,
                "`new`: never seen in an earlier period; `active`: has lines; `vanished`: has none but the period "
                "before had; `silent`: none for longer",
            ),
        ),
        GRAINS,
    ),
    Table(
        "key_coverage",
        "grain, period, stream, log_type, log_version, key",
        (
            *_KEY,
            _c("records", _BIG, "records of the type that parsed: all series, rejected ones not"),
            _c(
                "present",
                _BIG,
                "records with the key, once each; a column of a format other than json is in every record, an envelope "
                "column where it has a value",
            ),
            _c("nulls", _BIG, "records in which its value is null"),
            _c("blanks", _BIG, "records in which it is a text of nothing but white space"),
            _c("filled", _BIG, "present - nulls - blanks"),
            _c("presence_pct", _REAL, "100 * present / records"),
            _c("coverage_pct", _REAL, "100 * filled / records"),
            _c("types", "VARCHAR[]", "types seen: of the column, or of the JSON values; null is none"),
            _c("hosts_with_key", _BIG, "distinct hosts whose records have the key"),
            _v(
                "delta_pp",
                _REAL,
                "coverage_pct less the median coverage_pct of the (up to) 7 periods before in which the type had "
                "records",
            ),
            _v("first_seen", _TIME, "first event time of a record with the key, in all periods"),
            _v("last_seen", _TIME, "last event time of a record with the key, in all periods"),
            _v(
                "status",
                _TEXT,
                "the first that holds of `other_keys` (the row `(other keys)`), `type_conflict` (kinds of value that "
                "do not go together, here or compared with the period before), `vanished` (not here, but in one of the "
                "7 periods before), `new` (in no "
                "earlier period), `unexpected` (the stream declares columns, and not this one), `low` (delta_pp "
                "below -10), `ok`",
            ),
            _c("first_time", _TIME, "first event time of a record with the key, in this period"),
            _c("last_time", _TIME, "last event time of a record with the key, in this period"),
            _OTHER_KEYS,
            _c(
                "counts_are_exact",
                _TRUTH,
                "false: records of this key may be among those that the row `(other keys)` counts, so that its counts "
                "are at least these",
            ),
        ),
        GRAINS,
    ),
    Table(
        "value_coverage",
        "grain, period, stream, log_type, log_version, key",
        (
            *_KEY,
            _c("filled", _BIG, "records with a value that is neither null nor blank"),
            _c("distinct_values", _BIG, "distinct values; an estimate (about 2 % off) unless `distinct_is_exact`"),
            _c(
                "distinct_is_exact",
                _TRUTH,
                "false beyond 100,000 distinct values: then distinct_values, unique_pct, entropy_bits, p50 and p95 are "
                "estimates from the 4,096 values with the smallest hashes",
            ),
            _c("unique_pct", _REAL, "100 * distinct_values / filled"),
            _c("entropy_bits", _REAL, "-sum(p * log2 p) over the values' shares; 0: always the same"),
            _c("min", _TEXT, "smallest value: numbers by size, texts by code point; null for a secret-looking key"),
            _c("max", _TEXT, "largest value"),
            _c("mean", _REAL, "mean, if all values are numbers"),
            _c("p50", _REAL, "smallest number that at least half of the values do not exceed"),
            _c("p95", _REAL, "smallest number that at least 95 % of the values do not exceed"),
            _c("len_min", _BIG, "length of the shortest value in characters"),
            _c("len_avg", _REAL, "mean length in characters"),
            _c("len_max", _BIG, "length of the longest value in characters"),
            _OTHER_KEYS,
            _v(
                "domain_coverage_pct", _REAL, "100 * expected values that were seen / expected values; null without any"
            ),
            _v("valid_pct", _REAL, "100 * records with an expected value / filled; null without expected values"),
            _v("unexpected_values", "VARCHAR[]", "up to 20 values seen that are not expected, most frequent first"),
            _v("missing_values", "VARCHAR[]", "up to 20 expected values that were not seen"),
        ),
        GRAINS,
    ),
    Table(
        "value_coverage_top",
        "grain, period, stream, log_type, log_version, key, rank",
        (
            *_KEY,
            _c("rank", _BIG, "1 to 20, most frequent first; equal counts by value"),
            _c("value", _TEXT, "the value; of one longer than 256 characters 220 and a hash; of a secret only a hash"),
            _c("count", _BIG, "records that have the value"),
            _c("pct", _REAL, "100 * count / filled"),
            _v("in_domain", _TRUTH, "it is one of the expected values (`expect: values`); null without any"),
            _v("first_seen", _TIME, "first event time of a record with the value, in all periods"),
            _c("first_time", _TIME, "first event time of a record with the value, in this period"),
        ),
        GRAINS,
    ),
    Table(
        "rejects",
        "record that did not parse",
        (
            *_PERIOD,
            _TYPE[0],
            _c("event_time", _TIME, "when it happened, if that could be read; else when it was received"),
            _c("reason", _TEXT, "`too_large`, `bad_encoding`, `bad_format`, `bad_time` or `bad_type`"),
            _c("message", _TEXT, "its text; at most 8 KiB of one that is too large"),
            *_PLACE,
        ),
        ("hour",),
    ),
)

_LOGS: Final = Table(
    "logs",
    "record, of every stream (`<stream>`: the same for one stream, with the stream's own columns and `extra`)",
    (
        _c("stream", _TEXT, "the stream"),
        _c("dt", _TEXT, "day of the event hour, as `2026-11-22`: filters on it read only that day's files"),
        _c("hour", _TEXT, "event hour, `00` to `23`"),
        *ENVELOPE,
        *_PLACE,
    ),
)

_LIVE: Final = (
    Table(
        "host_status",
        "host, process",
        (
            _c("host", _TEXT, "the host: one that wrote a record, or one listed in the configuration"),
            _c("process", _TEXT, "the process; null for a host that was never seen"),
            _c("datacenter", _TEXT, "datacenter of its last record"),
            _c("first_seen", _TIME, "first event time"),
            _c("last_seen", _TIME, "last event time"),
            _c("minutes_silent", _BIG, "whole minutes since then"),
            _c("state", _TEXT, "`ok` (silent for less than 5 minutes), `late` (15), `down`, `never_seen`"),
            _c("sent", _BIG, "records it says it sent (`nw.ledger`); null if it says nothing"),
            _c(
                "received",
                _BIG,
                "records of these that logs have, at most as many as were sent of a minute, type and series",
            ),
            _c("lost", _BIG, "sent - received; null if it says nothing"),
        ),
    ),
    Table(
        "receipts",
        "batch",
        (
            _c("stream", _TEXT, "the stream"),
            _c("lane", _TEXT, "the lane"),
            _c("sequence", _BIG, "number of the receipt in its lane; the genesis is 0"),
            _c("kind", _TEXT, "`genesis`, `batch`, `replay` or `retention`"),
            _c("arrival_hour", _TEXT, "UTC hour in which the batch was planned"),
            _c("spans", _TEXT, "JSON: the pieces of the source that were read"),
            _c("positions", _TEXT, "JSON: positions of the whole lane after this receipt"),
            _c("records", _BIG, "records of the batch"),
            _c("bytes", _BIG, "their bytes, line endings included"),
            _c("skipped_lines", _BIG, "csv headers"),
            _c("digest", _TEXT, "digest of the records' bytes and positions"),
            _c("previous_digest", _TEXT, "digest of the lane's receipt before this one"),
            _c("event_hours", _TEXT, "JSON: event hour -> records of the batch in it, duplicates included"),
            _c("planned_time", _INSTANT, "when the batch was planned"),
        ),
    ),
    Table(
        "report_gaps",
        "grain, period and stream that could not be built",
        (
            _c("grain", _TEXT, "`hour`, `day`, `week`, `month` or `all`"),
            _c("dt", _TEXT, "day of the hour, else the first day of the period, or `all`"),
            _c("period", _TEXT, "the period whose reports lack the stream, or some of its hours"),
            _c("stream", _TEXT, "the stream that is missing"),
            _c("part", _TEXT, "`keys`: from the tables of keys and values only; `all`: from every report"),
            _c("hours", _BIG, "how many hours of the stream are missing"),
            _c("reason", _TEXT, "why the last of them could not be built"),
        ),
    ),
    Table(
        "duplicates",
        "dropped duplicate",
        (
            _c("stream", _TEXT, "the stream"),
            _c("dt", _TEXT, "day of the event"),
            *(c for c in ENVELOPE if c.name in {"event_time", "event_id", "datacenter", "host", "process"}),
            *(c for c in ENVELOPE if c.name in {"log_type", "series", "spilled"}),
            *_PLACE,
            _c("lane", _TEXT, "lane it came in"),
            _c("sequence", _BIG, "receipt it came in"),
        ),
    ),
    Table(
        "sequence_gaps",
        "gap in the numbers of a sender's session",
        (
            _c("stream", _TEXT, "the stream"),
            _c("host", _TEXT, "the host"),
            _c("process", _TEXT, "the process"),
            _c("session", _TEXT, "the sender's session"),
            _c("first_missing", _BIG, "first number that is missing"),
            _c("last_missing", _BIG, "last number that is missing"),
            _c("missing", _BIG, "how many are missing"),
            _c("window", _TEXT, "event times of the records before and after the gap: `2026-11-22T05:00:00Z/...`"),
        ),
    ),
    Table(
        "alerts",
        "transition of an alert",
        (
            _c("time", _INSTANT, "when; it grows from transition to transition of a key, whatever the clock does"),
            _c("key", _TEXT, "what it is about: check, asset, partition and subject"),
            _c("check", _TEXT, "the check"),
            _c("stream", _TEXT, "the stream; null: the platform itself"),
            _c("partition", _TEXT, "the hour; null: a standing condition"),
            _c("subject", _TEXT, "what of the partition: a host, a file, an expectation"),
            _c("severity", _TEXT, "`warn` or `error`"),
            _c("transition", _TEXT, "`opened`, `reminded`, `acknowledged` or `resolved`"),
            _c("message", _TEXT, "what is wrong"),
            _c("channels", _TEXT, "the channels it goes to"),
            _c("asset", _TEXT, "`raw/<stream>`, `logs/<stream>` or `platform`"),
            _c("repair", _TEXT, "how to repair it"),
            _c("since", _INSTANT, "when what is wrong began, if that is known"),
            _c("opened", _INSTANT, "time of the transition `opened` that it belongs to"),
            _c("note", _TEXT, "why it was resolved, who acknowledged it and what they said"),
            _c("grouped_by", _TEXT, "what a digest may put together with it: a data centre, for hosts"),
            _c(
                "deliveries",
                _TEXT,
                "JSON: a list of `channel`, `message_id`, `thread_id`, `state` (`pending`, `sent`,"
                " `given_up`), `attempts`, `next_try`, `at` (microseconds since the epoch), `error`",
            ),
            _c("claimed_by", _TEXT, "the process that is about to send what is pending"),
            _c("claimed_until", _INSTANT, "until when nobody else sends it"),
        ),
    ),
)

# What views look up besides the reports themselves.
INT_VALUE_COUNTS: Final = Table(
    "int_value_counts",
    "hour, day or month, stream, log_type, log_version, key, value",
    (
        *_KEY,
        _c("value", _TEXT, "the value"),
        _c("count", _BIG, "records that have it"),
        _c("first_time", _TIME, "first event time of a record that has it"),
        _c("sample_limit", _BIG, "hash below which every value is kept; null: all values are kept"),
    ),
    ("hour", "day", "month"),
    internal=True,
)

TABLES: Final[Mapping[str, Table]] = {table.name: table for table in (_LOGS, *_REPORTS, *_LIVE)}
REPORT_TABLES: Final[tuple[str, ...]] = tuple(table.name for table in _REPORTS)
