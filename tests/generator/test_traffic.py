"""The generator says exactly what it sent: the truth file against an independent, plain reading of the files."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.errors import UsageError
from nw_platform.generator.spec import (
    MINUTE_US,
    BrokenLines,
    Faults,
    LateFile,
    RenamedKey,
    Silence,
    TrafficSpec,
    senders,
)
from nw_platform.generator.traffic import generate
from nw_platform.record.hours import hour_start, to_iso

START = hour_start("2026-11-21T05")
SPEC = TrafficSpec(
    start=START, seconds=330, rate=20, seed=7, errors=0.05, late=0.04, duplicates=0.06, spill=0.1, broken=0.02
)


def read(folder: Path) -> tuple[list[tuple[dict, int]], int]:
    """(record, bytes with line ending) of every line that parses, in order of files; and the number of others."""
    found, broken = [], 0
    for path in sorted(folder.rglob("*.json")):
        if path.name.startswith("_"):
            continue
        for line in path.read_bytes().splitlines(keepends=True):
            assert line.endswith(b"\n")
            try:
                found.append((json.loads(line), len(line)))
            except ValueError:
                broken += 1
    return found, broken


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traffic")
    truth = generate(SPEC, str(folder))
    return folder, truth


def test_the_truth_file_is_what_generate_returns(sent):
    folder, truth = sent
    assert json.loads((folder / "_truth.json").read_text()) == json.loads(json.dumps(truth))


def test_rate_times_seconds_records_are_sent_and_watchdog_records_on_top(sent):
    folder, truth = sent
    lines, broken = read(folder)
    by_id = {record["id"]: record for record, _ in lines}
    own = [record for record in by_id.values() if record.get("series") != "watchdog"]
    assert len(own) == 20 * 330
    assert truth["records"] == len(by_id)
    assert truth["duplicates"] == len(lines) - len(by_id) > 0
    assert truth["rejects"] == {"bad_format": broken}
    assert broken > 0
    assert truth["sent"]["lines"] == len(lines) + broken
    assert truth["sent"]["bytes"] == sum(p.stat().st_size for p in folder.rglob("*-*.json") if p.is_file())


def test_every_minute_host_type_and_series_is_counted_exactly(sent):
    folder, truth = sent
    lines, _ = read(folder)
    counted: dict[tuple, list[int]] = defaultdict(lambda: [0, 0])
    seen = set()
    for record, size in lines:
        if record["id"] in seen:
            continue
        seen.add(record["id"])
        minute = to_iso(record["ts"] * 1000 // MINUTE_US * MINUTE_US)
        entry = counted[
            minute, record["host"], record["process"], record["type"], record.get("series", "normal"),
            record.get("spilled", False),
        ]  # fmt: skip
        entry[0] += 1
        entry[1] += size
    told = {
        (m["minute"], m["host"], m["process"], m["type"], m["series"], m["spilled"]): [m["lines"], m["bytes"]]
        for m in truth["minutes"]
    }
    assert told == dict(counted)
    late = sum(1 for r in {r["id"]: r for r, _ in lines}.values() if r["ts"] * 1000 < START)
    assert truth["late"] == late > 0


def test_sequence_numbers_of_a_session_have_no_gap(sent):
    folder, truth = sent
    lines, _ = read(folder)
    sequences = defaultdict(set)
    for record, _ in lines:
        assert record["id"] == f"{record['session']}-{record['seq']}"
        sequences[record["session"]].add(record["seq"])
    assert set(sequences) == set(truth["sessions"])
    for session, numbers in sequences.items():
        assert numbers == set(range(1, len(numbers) + 1))
        assert truth["sessions"][session]["last_seq"] == len(numbers)


def test_ledgers_add_up_to_all_that_was_sent_but_ledgers(sent):
    folder, _ = sent
    records = {record["id"]: (record, size) for record, size in read(folder)[0]}.values()
    promised, found = Counter(), Counter()
    for record, size in records:
        if record["type"] == "nw.ledger":
            for entry in record["fields"]["counts"]:
                key = (record["session"], record["fields"]["minute"], entry["type"], entry["series"], entry["spilled"])
                promised[key, "lines"] += entry["lines"]
                promised[key, "bytes"] += entry["bytes"]
                assert entry["first_seq"] <= entry["last_seq"]
        else:
            key = (
                record["session"], record["ts"] // 60_000 * 60_000, record["type"], record.get("series", "normal"),
                record.get("spilled", False),
            )  # fmt: skip
            found[key, "lines"] += 1
            found[key, "bytes"] += size
    assert promised == found


def test_every_process_says_once_a_minute_that_it_lives(sent):
    folder, _ = sent
    beats = Counter(
        (r["host"], r["process"], r["ts"] // 60_000) for r, _ in read(folder)[0] if r["type"] == "nw.heartbeat"
    )
    assert set(beats.values()) == {1}
    assert len(beats) == len(senders(4)) * 6


def test_equal_specifications_give_equal_bytes_and_another_seed_other_ones(sent, tmp_path):
    folder, _ = sent
    generate(SPEC, str(tmp_path / "again"))
    generate(replace(SPEC, seed=8), str(tmp_path / "other"))
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.json")}
    assert files == {p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*.json")}
    other = {p.relative_to(tmp_path / "other"): p.read_bytes() for p in (tmp_path / "other").rglob("*.json")}
    assert set(files) == set(other)
    assert all(files[path] != other[path] for path in files)


def test_no_file_is_left_that_is_not_ready(sent):
    folder, _ = sent
    assert not [p for p in folder.rglob(".*") if p.is_file()]


def test_files_bear_the_time_at_which_they_were_closed(sent):
    folder, _ = sent
    first = folder / "2026-11-21" / "web-01.east" / "frontend-20261121T0500.json"
    last = folder / "2026-11-21" / "web-01.east" / "frontend-20261121T0505.json"
    assert first.stat().st_mtime_ns == (START + MINUTE_US) * 1000
    assert last.stat().st_mtime_ns == SPEC.end * 1000  # half a minute


def test_faults_are_where_they_were_asked_for(tmp_path):
    minute = [START + i * MINUTE_US for i in range(6)]
    faults = Faults(
        silences=(Silence("web-01.west", minute[2], minute[4]),),
        late_files=(LateFile("web-02.east", minute[1], minute[1] + 26 * 60 * MINUTE_US),),
        renamed_keys=(RenamedKey("checkout", "user_id", "userId", minute[3]),),
        broken_lines=(BrokenLines("web-01.east", "frontend", minute[5], 9),),
    )
    truth = generate(replace(SPEC, late=0, duplicates=0, broken=0, faults=faults, seconds=360), str(tmp_path))
    lines, broken = read(tmp_path)
    heard = {r["ts"] * 1000 // MINUTE_US * MINUTE_US for r, _ in lines if r["host"] == "web-01.west"}
    assert heard == {minute[0], minute[1], minute[4], minute[5]}
    late_file = tmp_path / "2026-11-21" / "web-02.east" / "frontend-20261121T0501.json"
    assert late_file.stat().st_mtime_ns == (minute[1] + 26 * 60 * MINUTE_US) * 1000
    held_back = [r for r, _ in lines if r["host"] == "web-02.east" and minute[1] <= r["ts"] * 1000 < minute[2]]
    assert truth["late"] == len(held_back) > 0
    for record, _ in lines:
        if record.get("series") != "watchdog":
            renamed = record["process"] == "checkout" and record["ts"] * 1000 >= minute[3]
            assert ("userId" in record["fields"]) is renamed
            assert ("user_id" in record["fields"]) is not renamed
    assert broken == 9
    assert truth["rejects_by_minute"] == [
        {"minute": to_iso(minute[5]), "host": "web-01.east", "process": "frontend", "lines": 9}
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"errors": 1.5}, "--errors 1.5"),
        ({"late": -0.1}, "--late -0.1"),
        ({"seconds": 0}, "--seconds 0"),
        ({"rate": 0}, "--rate 0"),
        ({"hosts": 0}, "--hosts 0"),
        ({"minutes_per_file": 0}, "--minutes-per-file 0"),
        ({"start": START + 1}, "whole minute"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        generate(replace(SPEC, **change), str(tmp_path))
    assert not list(tmp_path.iterdir())


@settings(max_examples=15, deadline=None)
@given(
    rate=st.floats(0.01, 40),
    seconds=st.integers(1, 200),
    hosts=st.integers(1, 5),
    minutes_per_file=st.integers(1, 5),
    share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_counts_hold_whatever_the_options(*, tmp_path_factory, rate, seconds, hosts, minutes_per_file, share):
    folder = tmp_path_factory.mktemp("any")
    spec = TrafficSpec(
        start=START, seconds=seconds, rate=rate, hosts=hosts, minutes_per_file=minutes_per_file,
        errors=share, late=share, duplicates=share, spill=share, broken=share,
    )  # fmt: skip
    truth = generate(spec, str(folder))
    lines, broken = read(folder)
    ids = Counter(record["id"] for record, _ in lines)
    own = {record["id"] for record, _ in lines if record.get("series") != "watchdog"}
    assert len(own) == int(rate * seconds)
    assert truth["records"] == len(ids) == sum(truth["series"].values()) == sum(truth["types"].values())
    assert truth["duplicates"] == sum(ids.values()) - len(ids)
    assert truth["rejects"]["bad_format"] == broken
    assert max(ids.values()) <= 2
