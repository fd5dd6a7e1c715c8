"""Counts what is missing: numbers of senders' sessions, and what their ledgers say they sent.

An hour is counted once it is over and settled. The cheap question (is a session's span as long as the number of its
records?) is asked of all sessions of three hours; only those for which it is not are looked at number by number, and
then among duplicates and in the late files of other hours, too. Aggregates come back, never a record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from nw_platform.lake.engine import literal, scan
from nw_platform.lake.tables import LakeFile, batch_of
from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hosts import plain_host_sql
from nw_platform.record.hours import HOUR_US, hour_of, hour_start
from nw_platform.watchdog.observations import Gap, LossSeen, Unreceived

BACK_HOURS: Final = 24  # how far back the beginning of a gap that is known is looked for
_MOST_SEARCHED: Final = 20_000_000  # records of other hours that are searched for late ones
_SHOWN: Final = 5
_MOST_SESSIONS: Final = 20_000
_TEXT: Final = ("host", "process", "log_type", "series", "session", "extra")
_SCHEMA: Final = pa.schema(
    [
        pa.field("event_time", TIMESTAMP),
        pa.field("ingest_time", TIMESTAMP),
        *(pa.field(name, pa.string()) for name in _TEXT),
        pa.field("seq", pa.int64()),
    ]
)
_HOUR: Final = f"epoch_us(event_time) // {HOUR_US}"


@dataclass(frozen=True, slots=True)
class LossJob:
    """What is to be counted of one stream."""

    stream: str
    due: frozenset[str]  # event hours to count
    files: Sequence[LakeFile]  # of `due`, the hours beside them, and of those before a gap that is known
    elsewhere: Callable[[], Sequence[LakeFile]]  # of other hours, those that may hold late records first
    duplicates: Sequence[LakeFile]
    sessions: Mapping[str, tuple[int, int]]  # session -> hour (since the epoch) and number of its last known record


@dataclass(frozen=True, slots=True)
class LossCounted:
    """Of one stream."""

    hours: dict[str, LossSeen]
    sessions: dict[str, tuple[int, int]]


def around(hours: Iterable[str], failing: Collection[str]) -> set[str]:
    """The hours whose records are needed to count `hours`."""
    needed: set[str] = set()
    for hour in hours:
        start = hour_start(hour)
        back = BACK_HOURS if hour in failing else 1
        needed.update(hour_of(start + n * HOUR_US) for n in range(-back, 2))
    return needed


def loss_key(hour: str, tokens: Mapping[str, str], *, failing: bool) -> str:
    """Changes when an hour has to be counted anew. What comes into the next hour can only fill a gap."""
    start = hour_start(hour)
    beside = range(-BACK_HOURS, 2) if failing else range(-1, 1)
    text = "|".join(tokens.get(hour_of(start + n * HOUR_US), "") for n in beside)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def late_first(files: Iterable[LakeFile]) -> list[LakeFile]:
    """Files as they came, then merged ones from the newest on: as many as may be searched."""
    chosen, records = [], 0
    for file in sorted(files, key=lambda f: (batch_of(f.path) is not None, f.hour), reverse=True):
        records += file.records
        if records > _MOST_SEARCHED:
            break
        chosen.append(file)
    return chosen


def count_losses(
    connection: duckdb.DuckDBPyConnection, jobs: Sequence[LossJob], as_of: int | None = None
) -> dict[str, LossCounted]:
    """Count some hours of many streams: stream -> counts. Raises duckdb.Error."""
    if not jobs:
        return {}
    return _Counting(connection, jobs, as_of).run()


class _Counting:
    """The queries over some streams' files."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, jobs: Sequence[LossJob], as_of: int | None) -> None:
        self._connection, self._jobs = connection, jobs
        self._as_of = "true" if as_of is None else f"epoch_us(ingest_time) <= {int(as_of)}"
        self._found = {job.stream: LossCounted({hour: LossSeen() for hour in job.due}, {}) for job in jobs}

    def run(self) -> dict[str, LossCounted]:
        segments = [row for job in self._jobs for row in _segments(job)]
        tails = [
            (job.stream, session, hour, seq) for job in self._jobs for session, (hour, seq) in job.sessions.items()
        ]
        self._make("nw_segments", segments, {"stream": pa.string(), "h": pa.int64(), "segment": pa.int64(),
                                             "due": pa.bool_()})  # fmt: skip
        self._make("nw_tails", tails, {"stream": pa.string(), "session": pa.string(), "h": pa.int64(),
                                       "seq": pa.int64()})  # fmt: skip
        files = [file for job in self._jobs for file in job.files]
        self._execute(
            f"""CREATE OR REPLACE TEMP TABLE nw_sessions AS
            SELECT stream, session, segment, h, due, lo, hi, n FROM (
                SELECT stream, session, {_HOUR} AS h, min(seq) AS lo, max(seq) AS hi, count(*) AS n
                FROM ({self._rows(files)}) WHERE session IS NOT NULL AND seq IS NOT NULL GROUP BY ALL)
            JOIN nw_segments USING (stream, h)"""
        )
        self._execute(
            """INSERT INTO nw_sessions
            SELECT t.stream, t.session, g.segment, t.h, false, t.seq, t.seq, 1 FROM nw_tails AS t
            JOIN (SELECT stream, segment, min(h) AS h FROM nw_segments GROUP BY ALL) AS g
                ON g.stream = t.stream AND g.h > t.h"""
        )
        self._execute(
            """CREATE OR REPLACE TEMP TABLE nw_suspects AS
            WITH summed AS (SELECT *, max(hi) OVER w - min(lo) OVER w + 1 - sum(n) OVER w AS open_ones FROM nw_sessions
                WINDOW w AS (PARTITION BY stream, session, segment ORDER BY h)),
            kept AS (SELECT *, min(open_ones) OVER (PARTITION BY stream, session, segment ORDER BY h
                ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS lasting FROM summed),
            news AS (SELECT *, lasting - coalesce(lag(lasting) OVER w, 0) AS missing FROM kept
                WINDOW w AS (PARTITION BY stream, session, segment ORDER BY h))
            SELECT stream, session, segment FROM news GROUP BY ALL HAVING bool_or(due AND missing > 0)"""
        )
        self._count_sessions()
        if self._rows_of("SELECT 1 FROM nw_suspects LIMIT 1"):
            self._count_gaps()
        self._count_ledgers(files)
        return self._found

    def _make(self, name: str, rows: Sequence[tuple[Any, ...]], types: Mapping[str, pa.DataType]) -> None:
        table = pa.table({column: pa.array([row[i] for row in rows], kind) for i, (column, kind) in
                          enumerate(types.items())})  # fmt: skip
        self._connection.register("nw_given", table)
        self._execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM nw_given")
        self._connection.unregister("nw_given")

    def _execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def _rows_of(self, sql: str) -> list[Any]:
        rows: list[Any] = self._connection.execute(sql).fetchall()
        return rows

    def _rows(self, files: Sequence[LakeFile]) -> str:
        hosts = f"{plain_host_sql('host')} AS host"
        return f"SELECT * REPLACE ({hosts}) FROM ({scan(files, _SCHEMA, partitions=('stream',))}) WHERE {self._as_of}"

    def _count_sessions(self) -> None:
        """How many sessions each hour has, and where each stands now."""
        for stream, h, sessions, records in self._rows_of(
            "SELECT stream, h, count(*), sum(n)::BIGINT FROM nw_sessions WHERE due GROUP BY ALL"
        ):
            self._change(stream, h, sessions=sessions, records=records)
        for stream, session, h, seq in self._rows_of(
            f"""SELECT stream, session, max(h) AS last, max(hi) FROM nw_sessions GROUP BY stream, session
            QUALIFY row_number() OVER (PARTITION BY stream ORDER BY last DESC, session) <= {_MOST_SESSIONS}"""
        ):
            self._found[stream].sessions[session] = (h, seq)

    def _count_gaps(self) -> None:
        """Number by number, of the sessions that miss some."""
        columns = "stream, host, process, session, seq, event_time"
        suspected = {stream for (stream,) in self._rows_of("SELECT DISTINCT stream FROM nw_suspects")}
        everywhere = [file for job in self._jobs if job.stream in suspected for file in (*job.files, *job.elsewhere())]
        duplicates = [file for job in self._jobs for file in job.duplicates]
        self._execute(
            f"""CREATE OR REPLACE TEMP TABLE nw_gaps AS
            WITH rows_there AS (
                SELECT {columns} FROM ({self._rows(everywhere)}) UNION ALL
                SELECT {columns} FROM ({self._rows(duplicates)}) UNION ALL
                SELECT stream, NULL, NULL, session, seq, to_timestamp((h + 1) * 3600 - 1) FROM nw_tails),
            suspected AS (
                SELECT r.stream, r.session, seq, max(host) AS host, max(process) AS process, min(event_time) AS happened
                FROM rows_there AS r SEMI JOIN nw_suspects USING (stream, session)
                WHERE seq IS NOT NULL GROUP BY ALL),
            ordered AS (SELECT *, lag(seq) OVER w AS seq_before, lag(happened) OVER w AS before FROM suspected
                WINDOW w AS (PARTITION BY stream, session ORDER BY seq)),
            gaps AS (SELECT *, seq - seq_before - 1 AS missing, epoch_us(greatest(happened, before)) // {HOUR_US} AS h
                FROM ordered WHERE seq - seq_before > 1)
            SELECT gaps.* FROM gaps JOIN nw_segments AS d ON d.stream = gaps.stream AND d.h = gaps.h AND d.due"""
        )
        for stream, h, missing, gaps in self._rows_of(
            "SELECT stream, h, sum(missing)::BIGINT, count(*) FROM nw_gaps GROUP BY ALL"
        ):
            self._change(stream, h, missing=missing, gaps=gaps)
        shown: dict[tuple[str, int], list[Gap]] = {}
        for stream, h, *gap in self._rows_of(
            f"""SELECT stream, h, host, process, session, seq_before + 1, seq - 1, epoch_us(before), epoch_us(happened)
            FROM nw_gaps QUALIFY row_number() OVER (PARTITION BY stream, h ORDER BY missing DESC, session, seq)
                <= {_SHOWN} ORDER BY stream, h, missing DESC, session, seq"""
        ):
            shown.setdefault((stream, h), []).append(Gap(*gap))
        for (stream, h), found in shown.items():
            self._change(stream, h, largest=tuple(found))

    def _count_ledgers(self, files: Sequence[LakeFile]) -> None:
        """What the ledgers of each minute say was sent, against what is there.

        A duplicate that has a number of its own was told of by itself; one that was only sent again was not.
        """
        said_by = "log_type = 'nw.ledger' AND series = 'watchdog'"
        shape = literal('[{"type": "VARCHAR", "series": "VARCHAR", "lines": "BIGINT"}]')
        self._execute(
            f"""CREATE OR REPLACE TEMP TABLE nw_said AS
            SELECT stream, host, process, minute, coalesce(c.type, stream) AS log_type,
                coalesce(c.series, 'normal') AS series, sum(c.lines)::BIGINT AS lines
            FROM (SELECT stream, host, process, TRY_CAST(extra ->> '$.minute' AS BIGINT) // 60000 AS minute,
                    unnest(json_transform(json_extract(extra, '$.counts'), {shape})) AS c
                FROM (SELECT stream, host, process, CASE WHEN json_valid(extra) THEN extra END AS extra
                    FROM ({self._rows(files)}) WHERE {said_by}))
            JOIN nw_segments AS d USING (stream) WHERE c.lines > 0 AND d.due AND minute // 60 = d.h GROUP BY ALL"""
        )
        if not self._rows_of("SELECT 1 FROM nw_said LIMIT 1"):
            return
        duplicates = [file for job in self._jobs for file in job.duplicates]
        names = "stream, host, process, log_type, series, event_time"
        self._execute(
            f"""CREATE OR REPLACE TEMP TABLE nw_unreceived AS
            WITH dropped AS MATERIALIZED (SELECT {names}, session, seq FROM ({self._rows(duplicates)})),
            again AS (SELECT stream, session, seq FROM ({self._rows(files)})
                SEMI JOIN dropped USING (stream, session, seq)),
            counted AS (
                SELECT stream, host, process, epoch_us(event_time) // 60000000 AS minute, log_type, series,
                    count(*) AS lines
                FROM (SELECT {names} FROM ({self._rows(files)})
                    UNION ALL SELECT {names} FROM dropped ANTI JOIN again USING (stream, session, seq))
                WHERE {_HOUR} IN (SELECT h FROM nw_segments WHERE due) GROUP BY ALL)
            SELECT s.stream, s.minute // 60 AS h, s.host, s.process, s.minute, s.log_type, s.lines AS said,
                greatest(s.lines - coalesce(c.lines, 0), 0) AS lost
            FROM nw_said AS s LEFT JOIN counted AS c ON c.stream = s.stream AND c.host IS NOT DISTINCT FROM s.host
                AND c.process IS NOT DISTINCT FROM s.process AND c.minute = s.minute AND c.log_type = s.log_type
                AND c.series = s.series"""
        )
        for stream, h, said, lost in self._rows_of(
            "SELECT stream, h, sum(said)::BIGINT, sum(lost)::BIGINT FROM nw_unreceived GROUP BY ALL"
        ):
            self._change(stream, h, said=said, lost=lost)
        shown: dict[tuple[str, int], list[Unreceived]] = {}
        for stream, h, host, process, minute, log_type, said, lost in self._rows_of(
            f"""SELECT stream, h, host, process, minute, log_type, said, lost FROM nw_unreceived WHERE lost > 0
            QUALIFY row_number() OVER (PARTITION BY stream, h ORDER BY lost DESC, minute, host, process) <= {_SHOWN}
            ORDER BY stream, h, lost DESC, minute, host, process"""
        ):
            shown.setdefault((stream, h), []).append(
                Unreceived(host, process, minute * 60_000_000, log_type, said, lost)
            )
        for (stream, h), found in shown.items():
            self._change(stream, h, unreceived=tuple(found))

    def _change(self, stream: str, h: int, **changes: Any) -> None:  # noqa: ANN401  (fields of LossSeen)
        hours = self._found[stream].hours
        hour = hour_of(h * HOUR_US)
        hours[hour] = hours[hour].with_changes(**changes)


def _segments(job: LossJob) -> list[tuple[str, int, int, bool]]:
    """Each hour at hand with the number of its run of hours: from run to run nothing is concluded."""
    rows: list[tuple[str, int, int, bool]] = []
    at_hand = {file.hour for file in job.files} | job.due
    wanted = around(job.due, ()) | at_hand
    segment, before = 0, None
    for hour in sorted(wanted):
        h = hour_start(hour) // HOUR_US
        segment += before is not None and h != before + 1
        rows.append((job.stream, h, segment, hour in job.due))
        before = h
    return rows
