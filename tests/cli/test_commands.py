"""What every command has, whoever wrote it."""

import importlib.util
import re
import shlex

import pytest

from nw_platform.cli.main import COMMANDS, SUMMARIES, load_command, main
from nw_platform.cli.main import _parsers as parsers

THERE = [name for name, module in COMMANDS.items() if importlib.util.find_spec(module)]


def examples(name):
    """The command lines of a command's example, without what a shell does with them."""
    for line in load_command(name).EXAMPLE.splitlines():
        for part in re.split(r"&&|\||>", line)[:1]:
            yield shlex.split(part.strip())


def test_every_command_has_a_line_in_the_help():
    assert list(SUMMARIES) == list(COMMANDS)
    assert all(summary[0].islower() and not summary.endswith(".") for name, summary in SUMMARIES.items() if name != "x")


@pytest.mark.parametrize("name", THERE)
def test_it_has_help_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    module = load_command(name)
    assert module.HELP.splitlines()[0] in out
    assert "example:" in out
    assert module.EXAMPLE.startswith(f"nw {name}")
    assert module.EXAMPLE in out


@pytest.mark.parametrize("name", THERE)
def test_its_example_is_understood(name):
    for words in examples(name):
        if words[0] == "nw":
            args, unknown = parsers(words[1])[0].parse_known_args(words[1:])
            assert args.command == words[1]
            assert unknown == []


@pytest.mark.parametrize("name", THERE)
def test_every_argument_says_what_it_is(name):
    _, command = parsers(name)
    silent = [action.dest for action in command._actions if not action.help]
    assert silent == []


@pytest.mark.parametrize(
    "name", [name for name in THERE if name not in {"init", "demo", "generate", "doctor", "services"}]
)
def test_a_missing_configuration_is_2_and_one_line_that_names_the_fix(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NW_CONFIG", raising=False)
    words = next(words for words in examples(name) if words[:2] == ["nw", name])
    if name == "config":
        words = ["nw", "config", "check"]
    assert main(words[1:]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert "nw init" in captured.err
    assert list(tmp_path.iterdir()) == []
