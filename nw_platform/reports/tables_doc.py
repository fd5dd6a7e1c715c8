"""docs/tables.md, from the definitions in tables.py. `python -m nw_platform.reports.tables_doc > docs/tables.md`."""

from __future__ import annotations

import sys
from typing import Final

from nw_platform.reports.tables import TABLES, Table

_HEAD: Final = """\
# Tables

What `nw sql`, `nw report` and any other reader see. All times are UTC. `<stream>` is a view per declared stream: the
columns of `logs`, then those of its format or declaration, then `extra` (what was not declared, as JSON).

Filters on `dt`, `hour` and `event_time` read only the files, and parts of files, that can match. Times of `logs`, the
streams, `duplicates`, `receipts` and `alerts` are of type `TIMESTAMP WITH TIME ZONE`, as they are stored, those of
reports `TIMESTAMP`; the zone is UTC, so that both compare with each other and print alike, and `date_trunc` gives a
`TIMESTAMP` for either.

Report files are plain Parquet: `reports/<table>/grain=<grain>/dt=<first day>/<period>.parquet`, one file a period
under a fixed name, replaced as a whole. Columns marked *view* are in no file: they look at other periods, at the
configuration or at the clock, and are computed by the same views for `nw sql` and `nw report` (`nw ddl --dialect
duckdb` prints them). So a late record changes the files of its own hour, day, week, month and of `all`, and no others.

How reports come about: an hour's logs are read once, into counts by type, key and value (`reports/int_*`, internal);
days are merged from hours, weeks and months from days, `all` from months. Lines add up; whatever is distinct is counted
again from the values, never summed. Percentages are null on a zero denominator.

- **Which hours are built.** Those whose set of files in `logs` or `duplicates` changed since. An hour for which
  raw = logs + duplicates does not hold is refused and named. `reports/_manifest.json` remembers what was built; without
  it everything is computed again, and files whose rows come out the same stay as they are.
- **After retention.** Reports outlive logs. An hour older than a stream's `retention: {logs: ...}` is not built again
  (its rows would be gone): its files stay, and longer periods go on being merged from them.
- **A stream taken out of the configuration** is in no report any more once its hours are built again, which the next
  build does. Its logs stay in the lake: declared again, it is back with the build after that.
- **Keys.** A stream's own columns; the envelope's host, ip, process, pid, severity and message where a record has them;
  and the leaves of `extra`: `a.b`, arrays `a[].b`. A record counts once a key. In a format other than json every own
  column is in every record that parsed. Values of keys whose names look secret (password, token, authorization,
  api_key, cookie, credential...) are hashed before anything is stored; their counts and lengths are shown.
- **Types with very many keys.** Of a type with more than 10,000 keys in a period those are kept that most records have,
  of equal ones the first by name. The rest is one row of key_coverage and value_coverage, with key `(other keys)`:
  `other_keys` says how many keys it stands for, its sums are over keys and records, and their values are not kept. In a
  period longer than an hour a key may have been among the rest in one of its hours: sums over all rows of the type are
  exact, those of one key are at least what they say (`counts_are_exact`), and `other_keys` is at least that many. A key
  of a record that really has that name is counted in the row, too. A key longer than 256 characters is cut and ends
  with a hash.
- **A stream that cannot be built** is missing from the reports of its hours and of the longer periods, and nothing else
  is: `nw build` names it, ends with 1, and tries it again each time. `reports/_manifest.json` lists what is missing
  under `gaps`: hour, stream, part (`keys`: from the tables of keys and values only; `all`) and reason.
- **Many values.** Up to 100,000 distinct values of a key and period everything is exact. Beyond that the 4,096 values
  with the smallest hashes are kept with their exact counts, and the 1,000 most frequent: `distinct_is_exact` is then
  false, figures from values are estimates (about 2 % off), and counts of top values are lower bounds.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(table) for table in TABLES.values())])


def _section(table: Table) -> str:
    lines = [f"## {table.name}", "", f"One row per {table.row}."]
    if table.grains:
        lines.append(f"Files by {', '.join(table.grains)}.")
    lines += ["", "| column | type | meaning |", "|---|---|---|"]
    for column in table.columns:
        note = " *(view)*" if table.grains and not column.stored and column.name not in {"grain", "dt"} else ""
        lines.append(f"| {column.name} | {column.kind} | {column.meaning.replace('|', chr(92) + '|')}{note} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(render())
