"""The measurements run, at sizes that measure nothing."""

from __future__ import annotations

import pytest

from benchmarks import data, deltas, ingest, kafka, sql
from benchmarks.alone import run_alone
from benchmarks.figures import Figure, median_of, table


def test_a_format_is_measured_beside_its_peer(tmp_path):
    found = {figure.what: figure for figure in ingest.figures("json", tmp_path, megabytes=1, pairs=1)}
    assert {"json: peak memory", "json: raw + logs on disk, of the text"} < found.keys()
    rate = found["json: rate, of DuckDB's read_json"]
    assert rate.value > 0
    assert rate.at_least == 0.5
    assert not list((tmp_path / "landing").iterdir())


@pytest.mark.parametrize(("form", "name"), [(form, name) for form, peers in ingest.PEERS.items() for name in peers])
def test_a_peer_takes_every_line(tmp_path, form, name):
    text = tmp_path / "text.log"
    lines = {"combined": data.combined, "json": data.json_lines}[form](text, 1)
    assert ingest.peer(str(tmp_path), ingest.PEERS[form][name], str(text))["records"] == lines


@pytest.mark.services
@pytest.mark.usefixtures("kafka")  # whether there can be one
def test_kafka_is_measured_beside_consumers_that_see_every_record(tmp_path):
    found = {figure.what: figure for figure in kafka.figures(tmp_path, records=10_000, pairs=1)}
    assert found["kafka: rate, of the plain consumer"].at_least == 0.6
    assert found["kafka: CPU a record"].value > 0
    (peak,) = kafka.backlog(tmp_path, records=10_000)
    assert 0 < peak.value < 1.5


@pytest.mark.parametrize("ids", ["session", "uuid"])
def test_deltas_bring_all_their_records_into_logs(tmp_path, ids):
    found = list(deltas.figures(ids, tmp_path, minutes=2, per_second=10))
    assert [figure.at_most for figure in found] == [1.5, 1.5, 1.5]


def test_queries_over_the_lake_agree_with_plain_duckdb(tmp_path):
    rows = run_alone("benchmarks.sql:make_lake", folder=str(tmp_path), rows=12_000).result
    config = str(tmp_path / "neverwinter.yaml")
    answers = {name: sql.asked(config, query) for name, query in sql.QUERIES.items()}
    assert answers["by dt"] == answers["by event_time"] == sql.plain(str(tmp_path), "by dt")
    assert sum(count for _, count in answers["all days"]) == rows


def test_a_failed_measurement_is_not_taken_for_a_figure():
    with pytest.raises(Exception, match="non-zero exit status"):
        run_alone("benchmarks.sql:plain", folder="/nowhere", name="by dt")


def test_the_table_says_what_was_missed():
    rows = table([Figure("a", 2.0, at_most=1.5), median_of("b", [0.4, 0.6, 0.5], at_least=0.5), Figure("c", 1.0)])
    _, missed, met, plain = rows.splitlines()
    assert missed.split() == ["a", "2.00", "<=", "1.5", "MISSED"]
    assert met.split() == ["b", "0.50", "(0.40", "to", "0.60)", ">=", "0.5", "met"]
    assert plain.split() == ["c", "1.00"]
