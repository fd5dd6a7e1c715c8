"""Rotated and vanished files as a user meets them: nw ingest, nw check, nw verify."""

from __future__ import annotations

import json

import pytest

from nw_platform.cli.main import main


@pytest.fixture
def nw(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NW_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        code = main(list(argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def declare(folder, more=""):
    (folder / "neverwinter.yaml").write_text(f"streams: {{web: {{path: app.log, format: lines{more}}}}}\n")


def append(path, *lines):
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def values(nw):
    code, out, err = nw("sql", "SELECT message FROM web ORDER BY 1", "--format", "json")
    assert code == 0, err
    return [row["message"] for row in json.loads(out)]


def continuity(nw):
    _, out, _ = nw("check", "--no-deliver", "--json", "--all")
    return [finding for finding in json.loads(out) if finding["check"] == "continuity"]


def test_a_file_rotated_to_a_folder_that_is_not_declared(nw, tmp_path):
    declare(tmp_path)
    append(tmp_path / "app.log", "a1", "a2")
    assert nw("ingest", "--once")[0] == 0
    append(tmp_path / "app.log", "a3", "a4")
    (tmp_path / "old").mkdir()
    (tmp_path / "app.log").rename(tmp_path / "old" / "app.log")
    append(tmp_path / "app.log", "b1")
    code, _, err = nw("ingest", "--once")
    assert code == 1
    assert "web: missing: " in err
    assert "app.log: another file has its name" in err
    assert "read up to byte 6" in err
    failing = [finding for finding in continuity(nw) if finding["state"] != "ok"]
    assert {finding["state"] for finding in failing} == {"warn", "error"}
    assert all("`rotated:`" in finding["message"] for finding in failing)
    code, out, err = nw("verify")
    assert code == 1
    assert "vanished" in out
    assert "one file vanished with bytes that may be unread" in err
    declare(tmp_path, ", rotated: ['old/*']")
    assert nw("ingest", "--once")[0] == 0
    assert values(nw) == ["a1", "a2", "a3", "a4", "b1"]
    assert [finding for finding in continuity(nw) if finding["state"] != "ok"] == []
    code, _, err = nw("verify")
    assert code == 0
    assert "web: read to the end of every file that was found" in err


def test_what_may_be_a_repeat_is_a_warning_of_its_hour_and_no_failure_of_ingest(nw, tmp_path):
    (tmp_path / "neverwinter.yaml").write_text("streams: {web: {path: 'day*.txt', format: lines, growing: false}}\n")
    append(tmp_path / "day1.txt", "OK")
    nw("ingest", "--once")
    (tmp_path / "day1.txt").unlink()
    append(tmp_path / "day2.txt", "OK")
    code, _, err = nw("ingest", "--once")
    assert code == 0
    assert "web: repeat: " in err
    assert nw("ingest", "--once")[0] == 0
    assert values(nw) == ["OK", "OK"]
    (warning,) = [finding for finding in continuity(nw) if finding["state"] != "ok"]
    assert warning["state"] == "warn"
    assert "may be there twice" in warning["message"]
    code, _, err = nw("verify")
    assert code == 0
    assert "one file may hold repeats" in err


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_that_leads_out_is_named_and_followed_only_where_that_is_declared(nw, tmp_path, what):
    zone, outside = tmp_path / "zone", tmp_path / "outside"
    zone.mkdir()
    outside.mkdir()
    append(outside / "x.log", "out")
    append(zone / "in.log", "in")
    (zone / "link.log").symlink_to(outside / "x.log") if what == "file" else (zone / "link").symlink_to(outside)
    config = (
        "sources: {l: {kind: landing, url: ./zone}}\nstreams: {web: {source: l, path: '**/*.log', format: lines%s}}\n"
    )
    (tmp_path / "neverwinter.yaml").write_text(config % "")
    code, _, err = nw("ingest", "--once")
    assert code == 1
    assert "leads out of the landing zone" in err
    assert "follow_links: true" in err
    assert values(nw) == ["in"]
    (tmp_path / "neverwinter.yaml").write_text(config % ", follow_links: true")
    assert nw("ingest", "--once")[0] == 0
    assert values(nw) == ["in", "out"]


def test_links_inside_the_zone_and_links_that_the_path_spells_out_are_followed(nw, tmp_path):
    zone, outside = tmp_path / "zone", tmp_path / "outside"
    (zone / "real").mkdir(parents=True)
    outside.mkdir()
    append(zone / "real" / "a.log", "a")
    append(outside / "b.log", "b")
    (zone / "inside").symlink_to(zone / "real")
    (zone / "current").symlink_to(outside / "b.log")
    (tmp_path / "neverwinter.yaml").write_text(
        "sources: {l: {kind: landing, url: ./zone}}\nstreams:\n"
        "  web: {source: l, path: 'inside/*.log', format: lines}\n"
        "  cur: {source: l, path: current, format: lines}\n"
    )
    code, _, err = nw("ingest", "--once")
    assert (code, err) == (0, "")
    assert values(nw) == ["a"]
    assert json.loads(nw("sql", "SELECT count(*) n FROM cur", "--format", "json")[1]) == [{"n": 1}]


def test_verify_tells_how_many_bytes_of_nul_were_skipped_and_where(tmp_path, nw):
    declare(tmp_path)
    hole = bytes(300_000)
    (tmp_path / "app.log").write_bytes(b"a1\n" + hole + b"a2\n")
    assert nw("ingest", "--once")[0] == 0
    assert values(nw) == ["a1", "a2"]
    code, _, err = nw("verify")
    assert code == 0
    path = tmp_path / "app.log"
    assert f"read to the end of every file that was found; 300,000 bytes of NUL were skipped in {path}\n" in err
    with (tmp_path / "app.log").open("ab") as file:
        file.write(bytes(5_000) + b"a3\n")
    assert nw("ingest", "--once")[0] == 0
    code, _, err = nw("verify")
    assert code == 0
    assert f"305,000 bytes of NUL were skipped in {path}\n" in err


def test_verify_does_not_speak_of_holes_where_none_was_skipped(tmp_path, nw):
    declare(tmp_path)
    append(tmp_path / "app.log", "a1", "a\x00b")
    assert nw("ingest", "--once")[0] == 0
    code, _, err = nw("verify")
    assert code == 0
    assert "NUL" not in err


def test_verify_tells_of_holes_in_several_files_the_largest_first(tmp_path, nw):
    declare(tmp_path, ", rotated: ['old/*']")
    (tmp_path / "app.log").write_bytes(bytes(4_096) + b"a1\n")
    assert nw("ingest", "--once")[0] == 0
    (tmp_path / "old").mkdir()
    (tmp_path / "app.log").rename(tmp_path / "old" / "app.log")
    (tmp_path / "app.log").write_bytes(bytes(8_192) + b"b1\n")
    assert nw("ingest", "--once")[0] == 0
    assert values(nw) == ["a1", "b1"]
    code, _, err = nw("verify")
    assert code == 0
    assert f"12,288 bytes of NUL were skipped in 2 files ({tmp_path / 'app.log'}: 8,192; " in err
