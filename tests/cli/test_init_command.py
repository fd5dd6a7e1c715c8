import gzip
import json
import os
import re
from pathlib import Path

import pytest

from nw_platform.cli import init
from nw_platform.cli.main import main
from nw_platform.settings import load


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NW_CONFIG", raising=False)
    return folder


@pytest.fixture
def logs(tmp_path):
    """A folder as a server has it: rotated, packed, empty, nested, oddly named."""
    folder = tmp_path / "logs"
    (folder / "nginx").mkdir(parents=True)
    for name in ("app.log", "app.log.1", "nginx/access.log", "my app-2.log", "raw.log", "odd[1].log", 'qu"ote.log'):
        (folder / name).write_text(f"a line of {name}\n")
    (folder / "app.log.2.gz").write_bytes(gzip.compress(b"a line of the past\n"))
    (folder / "empty.log").touch()
    (folder / "notes.txt").write_text("no log\n")
    (folder / "dir.log").mkdir()
    return folder


def streams(text_of):
    return {name: Path(s.path).name for name, s in load(str(text_of), environ={}).streams.items()}


def test_it_proposes_a_stream_for_each_log_with_its_rotated_files(here, logs, capsys):
    assert main(["init", str(logs)]) == 0
    assert capsys.readouterr().out == f"{here}/neverwinter.yaml\n"
    assert streams(here / "neverwinter.yaml") == {
        "app": "app.log*",
        "nginx_access": "access.log*",
        "my_app_2": "my app-2.log*",
        "raw_log": "raw.log*",
        "odd_1": "odd[[]1].log*",
        "qu_ote": 'qu"ote.log*',
    }


def test_what_it_writes_passes_nw_config_check(here, logs, capsys):
    assert main(["init", str(logs)]) == 0
    assert main(["config", "check"]) == 0
    assert "app: 3 files" in capsys.readouterr().out
    assert [p.name for p in here.iterdir()] == ["neverwinter.yaml"]


def test_a_folder_of_all_kinds_of_logs_gets_a_configuration_that_passes(here, tmp_path, capsys):
    folder = tmp_path / "kinds"
    (folder / "deep").mkdir(parents=True)
    kinds = {
        "json.log": b'{"ts": 1795168800000, "host": "a"}\n' * 9,
        "log4j.log": b"java.io.IOException: no\n" + b"2026-11-20T10:00:01.123456Z ERROR billing: card refused\n" * 9,
        "access.log": b'1.1.1.1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5\n' * 9,
        "mix.log": b'{"ts": 1795168800000}\nand text\n' * 9,
        "windows.log": "2026-11-20 10:00:01,123 INFO a.B - Gr\u00fc\u00dfe\n".encode("cp1252") * 9,
        "wide.log": ("2026-11-20 10:00:01,123 INFO a.B - Gr\u00fc\u00dfe\n" * 9).encode("utf-16"),
        "binary.log": (bytes(range(128, 256)) + b"\n") * 40,
        "empty.log": b"",
        ".hidden.log": b"x\n",
        "deep/table.log": b"time,host\n" + b"1795168800,a\n" * 9,
    }
    for name, content in kinds.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1_795_255_200, 1_795_255_200))
    assert main(["init", str(folder)]) == 0
    capsys.readouterr()
    assert main(["config", "check", "--json"]) == 0
    found = {stream["stream"]: stream for stream in json.loads(capsys.readouterr().out)["streams"]}
    assert {name: stream["format"] for name, stream in found.items()} == {
        "json": "json", "log4j": "log4j", "access": "combined", "mix": "lines", "windows": "log4j", "wide": "log4j",
        "deep_table": "csv",
    }  # fmt: skip
    assert all(stream["rejected"] <= 1 for stream in found.values())
    text = (here / "neverwinter.yaml").read_text()
    assert "    encoding: cp1252\n" in text
    assert re.search(r"# left out: .*binary.log.*sampled records are rejected", text)
    assert ".hidden" not in text


def test_it_never_overwrites_unless_told_to(here, logs, capsys):
    target = here / "neverwinter.yaml"
    target.write_text("mine")
    assert main(["init", str(logs)]) == 2
    assert "--force overwrites it" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert main(["init", str(logs), "--force"]) == 0
    assert "app" in streams(target)


def test_a_machine_without_logs_gets_an_example_that_is_valid(here, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["init", str(empty), "-o", "x.yaml"]) == 0
    assert "no readable log files were found" in capsys.readouterr().err
    assert streams(here / "x.yaml") == {"web": "access.log*"}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["init", "/nowhere"], "/nowhere is no folder"),
        (["init", "-o", "/nowhere/x.yaml"], "No such file or directory"),
        (["init", "-o", "s3://bucket/x.yaml"], "no path of this machine"),
    ],
)
def test_wrong_use(argv, said, capsys):
    assert main(argv) == 2
    assert said in capsys.readouterr().err


def test_usual_places_come_first_and_a_file_belongs_to_one_stream(tmp_path, monkeypatch):
    var = tmp_path / "var"
    (var / "nginx").mkdir(parents=True)
    for name in ("nginx/access.log", "nginx/access.log.1", "syslog", "auth.log", "dpkg.log"):
        (var / name).write_text("x\n")
    monkeypatch.setattr(init, "KNOWN", tuple((n, g.replace("/var/log", str(var)), r) for n, g, r in init.KNOWN))
    monkeypatch.setattr(init, "_OTHERS", (f"{var}/*.log", f"{var}/*/*.log"))
    found = list(init.find([]))
    assert [stream.path for stream in found][:3] == [f"{var}/nginx/*access*.log*", f"{var}/syslog*", f"{var}/auth.log*"]
    assert [stream.path for stream in found][3:] == [f"{var}/dpkg.log*"]
