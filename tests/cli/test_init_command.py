import gzip
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
