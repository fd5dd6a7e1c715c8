import os
import subprocess
import sys
from pathlib import Path

import pytest

from nw_platform.cli import main as cli
from nw_platform.cli.main import main
from nw_platform.errors import ConfigError, LakeError

NW = [sys.executable, "-m", "nw_platform.cli.main"]
ROOT = str(Path(__file__).resolve().parents[2])


@pytest.fixture
def command(monkeypatch):
    """Replaces `nw compact` by a command that does what the test says."""

    class Fake:
        HELP = "a command"
        EXAMPLE = "nw compact"
        args = None

        def configure(self, parser):
            parser.add_argument("--number", type=int)

        def run(self, args, out):
            self.args = args
            return self.do(out)

        def do(self, _out):
            return 0

    fake = Fake()
    monkeypatch.setattr(cli, "load_command", lambda _name: fake)
    return fake


def lines(capsys):
    captured = capsys.readouterr()
    return captured.out, captured.err.splitlines()


@pytest.mark.parametrize(
    "argv",
    [
        ["-c", "x.yaml", "--json", "--debug", "compact"],
        ["compact", "-c", "x.yaml", "--json", "--debug"],
        ["--json", "compact", "--config=x.yaml", "--debug"],
        ["-c", "y.yaml", "--json", "--debug", "compact", "-c", "x.yaml"],
    ],
)
def test_global_flags_stand_before_or_after_the_command(command, argv):
    assert main(argv) == 0
    assert (command.args.config, command.args.json, command.args.debug) == ("x.yaml", True, True)


def test_a_configuration_may_be_called_like_a_command(command):
    assert main(["-c", "ingest", "compact"]) == 0
    assert command.args.config == "ingest"


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_command_decides_the_exit_code(command, code):
    command.do = lambda _out: code
    assert main(["compact"]) == code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("x.yaml: wrong"), 2, "nw: x.yaml: wrong"),
        (LakeError("the lake is frozen"), 1, "nw: the lake is frozen"),
        (ZeroDivisionError("two\nlines"), 1, "nw: ZeroDivisionError: two lines (--debug shows where)"),
        (KeyError(), 1, "nw: KeyError: no details (--debug shows where)"),
    ],
)
def test_an_error_is_one_line_and_a_traceback_only_with_debug(command, capsys, error, code, line):
    def fail(_out):
        raise error

    command.do = fail
    assert main(["compact"]) == code
    assert lines(capsys) == ("", [line])
    assert main(["compact", "--debug"]) == code
    out, err = lines(capsys)
    assert out == ""
    assert err[0] == "Traceback (most recent call last):"
    assert err[-1] == line


def test_an_interrupt_ends_quietly(command, capsys):
    def interrupt(_out):
        raise KeyboardInterrupt

    command.do = interrupt
    assert main(["compact"]) == 130
    assert lines(capsys) == ("", [])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["compct"], "there is no command 'compct' (did you mean 'compact'?)"),
        (["xyzzy"], "there is no command 'xyzzy'; see `nw --help`"),
        (["compact", "--numbr", "3"], "unknown option '--numbr' (did you mean '--number'?); see `nw compact --help`"),
        (["compact", "extra"], "unknown argument 'extra'; see `nw compact --help`"),
        (["compact", "--number", "x"], "argument --number: invalid int value: 'x'; see `nw compact --help`"),
        (["--config"], "argument -c/--config: expected one argument"),
        ([], "which command?"),
        (["--json"], "which command?"),
    ],
)
@pytest.mark.usefixtures("command")
def test_wrong_use_is_2_and_names_what_is_right(capsys, argv, said):
    assert main(argv) == 2
    out, err = lines(capsys)
    assert out == ""
    assert said in err[-1]


def test_a_command_that_is_not_installed_breaks_no_other(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "up", "nw_platform.cli.not_there")
    assert main(["--help"]) == 0
    assert main(["config", "schema"]) == 0
    capsys.readouterr()
    assert main(["up"]) == 2
    assert lines(capsys) == ("", ["nw: `nw up` is not part of this installation"])


def test_help_names_every_command_and_goes_to_standard_output(capsys):
    assert main(["--help"]) == 0
    out, err = lines(capsys)
    assert err == []
    assert all(f"\n    {name} " in out for name in cli.COMMANDS)


def test_help_and_a_wrong_configuration_are_quick_because_nothing_heavy_is_imported(tmp_path):
    (tmp_path / "wrong.yaml").write_text("streams: {w: {pth: x}}")
    heavy = "{'pyarrow', 'duckdb', 'deltalake', 'numpy', 'fsspec', 'dagster', 'rich'} & set(sys.modules)"
    light = "{'pydantic', 'yaml'} & set(sys.modules)"
    code = (
        "import sys; from nw_platform.cli.main import main\n"
        f"assert main(['--help']) == 0 and not {heavy} and not {light}\n"
        f"assert main(['config', 'check', '-c', 'wrong.yaml']) == 2 and not {heavy}, {heavy}\n"
    )
    environ = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    environ = {**os.environ, "PYTHONPATH": ROOT}
    shell = f"'{sys.executable}' -m nw_platform.cli.main config schema | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


def test_it_runs_from_any_folder_and_leaves_nothing_there(tmp_path):
    config = tmp_path / "conf" / "nw.yaml"
    config.parent.mkdir()
    (config.parent / "logs").mkdir()
    (config.parent / "logs" / "a.log").write_text("one\ntwo\n")
    config.write_text("streams: {a: {path: logs/*.log, format: lines}}")
    here = tmp_path / "here"
    here.mkdir()
    environ = {**os.environ, "PYTHONPATH": ROOT, "NW_CONFIG": str(config)}
    done = subprocess.run([*NW, "config", "check"], cwd=here, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"a: 1 file, format lines: {config.parent}/logs/*.log" in done.stdout
    assert list(here.iterdir()) == []
    assert sorted(p.name for p in config.parent.iterdir()) == ["logs", "nw.yaml"]


def test_a_folder_that_was_deleted_is_one_line_that_says_so(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    start = "import os, sys, pathlib; from nw_platform.cli.main import main; os.rmdir(os.getcwd()); sys.exit(main())"
    for words in (["ingest", "--once"], ["sql", "SELECT 1"], ["init"], ["-c", "/there.yaml", "report", "summary"]):
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {ROOT!r}); {start}", *words],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "nw: the folder that this command was started in was deleted; cd to one that is there\n"
