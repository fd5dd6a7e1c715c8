"""Files in the making that a dead run left in the lake are deleted after a day, and nothing else is."""

from __future__ import annotations

import os

from world import HOUR, START, World, wire

from nw_platform.ingest.retention import expire

LEFT = (
    "raw/stream=app/dt=2026-11-22/hour=05/.0.0-000000000001-0000-abc.parquet.tmp.1",
    "raw/stream=app/_delta_log/_commit_2f0.json.tmp",
    "logs/stream=app/_delta_log/..json.tmp.12",
    "receipts/_delta_log/.00000000000000000004.json.tmp.2",
    "reports/summary_report/grain=day/dt=2026-11-22/_2026-11-22.parquet.4711.tmp",
    "reports/summary_report/grain=day/dt=2026-11-22/.2026-11-22.parquet.tmp.1",
)
KEPT = ("raw/stream=app/_delta_log/_last_checkpoint", "reports/_manifest.json", "notes.tmp")


def test_what_a_dead_run_was_writing_is_deleted_a_day_later(tmp_path):
    world = World(tmp_path)
    world.write("app/a.log", wire(START, id="a"))
    lake = tmp_path / "lake"
    with world.session() as session:
        world.ingest(session)
        for name in (*LEFT, *KEPT):
            path = lake / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            os.utime(path, (START // 1_000_000,) * 2)
        (lone,) = expire(session, START + 23 * HOUR)
        assert lone.deleted_files == 0
        assert all((lake / name).exists() for name in LEFT)
        (lone,) = expire(session, START + 25 * HOUR)
        assert lone.deleted_files == len(LEFT)
        assert not any((lake / name).exists() for name in LEFT)
        assert all((lake / name).exists() for name in KEPT)
        assert world.rows(session, columns="event_id") == [("a",)]
