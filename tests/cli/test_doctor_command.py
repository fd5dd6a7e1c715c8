import json
import socket
import threading

import pytest

from nw_platform.cli import doctor
from nw_platform.cli.main import main
from nw_platform.ingest.preview import stream_preview
from nw_platform.settings import parse

NOW = 1_800_000_000_000_000


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.delenv("NW_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text("one\n")
    path = tmp_path / "neverwinter.yaml"
    path.write_text("streams: {a: {path: a.log, format: lines}}")
    return path


def states(capsys):
    return {row["what"]: row["state"] for row in json.loads(capsys.readouterr().out)}


def test_everything_is_a_line_with_its_state(config, capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in {"ok", "warn", "fail"} for line in lines)
    assert {line[6:].split("  ")[0] for line in lines} >= {
        "python", "pyarrow", "open files", "clock", "port 3000", "configuration", "lake", "free disk", "stream a",
    }  # fmt: skip
    assert sorted(p.name for p in config.parent.iterdir()) == ["a.log", "neverwinter.yaml"]


def test_a_wrong_configuration_fails(config, capsys):
    config.write_text("streams: {a: {pth: a.log}}")
    assert main(["doctor", "--json"]) == 1
    assert states(capsys)["configuration"] == "fail"


def test_a_new_machine_is_told_to_run_nw_init(config, capsys):
    config.unlink()
    assert main(["doctor"]) == 0
    assert "fix: nw init" in capsys.readouterr().out


def test_a_source_that_is_gone_fails_and_others_are_still_tried(config, capsys):
    config.write_text("streams: {a: {path: a.log}, b: {path: none/b.log}, c: {path: c.log}}")
    assert main(["doctor", "--json"]) == 1
    found = states(capsys)
    assert (found["stream a"], found["stream b"], found["stream c"]) == ("ok", "fail", "warn")


@pytest.mark.usefixtures("config")
def test_a_source_that_does_not_answer_is_not_waited_for(monkeypatch, capsys):
    never = threading.Event()
    monkeypatch.setattr(stream_preview, "open_source", lambda *_a, **_k: never.wait(60))
    assert main(["doctor", "--timeout", "0.05"]) == 1
    assert "no answer within 0.05 s" in capsys.readouterr().out
    never.set()


@pytest.mark.parametrize(("soft", "state"), [(64, "fail"), (512, "warn"), (1024, "ok"), (-1, "ok")])
def test_open_files(monkeypatch, soft, state):
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda _: (soft, 4096))
    found = doctor.check_open_files()
    assert found.state == state
    assert bool(found.fix) == (state != "ok")


def test_a_taken_port_is_named_with_another():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        found = doctor.check_port(port)
    assert (found.state, found.fix) == ("warn", f"stop what listens there, or nw up --port {port + 1}")
    assert doctor.check_port(port).state == "ok"


def test_a_clock_that_is_years_behind_fails():
    assert doctor.check_clock(1_000_000_000_000_000).state == "fail"
    assert doctor.check_clock(doctor.clock()).state == "ok"
    assert doctor.check_clock(doctor.clock() + 60_000_000).state == "warn"


def test_a_lake_below_a_file_fails_and_a_new_one_is_fine(tmp_path):
    (tmp_path / "file").touch()
    settings = parse(f"lake: {tmp_path}/file/lake\nstreams: {{a: {{path: x}}}}", base=str(tmp_path), origin="x")
    assert doctor.check_lake(settings).state == "fail"
    settings = parse(f"lake: {tmp_path}/new/lake\nstreams: {{a: {{path: x}}}}", base=str(tmp_path), origin="x")
    assert doctor.check_lake(settings).state == "ok"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("free", "state"), [(10, "fail"), (5 << 30, "warn"), (50 << 30, "ok")])
def test_free_disk(tmp_path, monkeypatch, free, state):
    settings = parse("streams: {a: {path: x}}", base=str(tmp_path), origin="x")
    usage = doctor.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=free))
    assert doctor.check_disk(settings).state == state


def test_packages_of_another_version_are_a_warning_and_missing_ones_fail(monkeypatch):
    def version(name):
        if name == "dagster":
            raise doctor.metadata.PackageNotFoundError(name)
        return "0.1"

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = {diagnosis.what: diagnosis.state for diagnosis in doctor.check_packages()}
    assert (found["dagster"], found["pyarrow"], found["fsspec"]) == ("fail", "warn", "ok")
