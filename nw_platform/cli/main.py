"""`nw`: finds the subcommand, reads the global flags, turns errors into one line and an exit code.

Exit codes: 0 done, 1 found a problem, 2 used wrongly, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NoReturn, Protocol, cast

from nw_platform.cli.allocation import keep_memory
from nw_platform.cli.output import Output
from nw_platform.errors import ConfigError, NeverwinterError, UsageError

# The modules are imported only when they are used.
COMMANDS: Final[dict[str, str]] = {
    "init": "nw_platform.cli.init",
    "demo": "nw_platform.cli.demo",
    "up": "nw_platform.cli.up",
    "watch": "nw_platform.cli.watch",
    "config": "nw_platform.cli.config",
    "doctor": "nw_platform.cli.doctor",
    "ingest": "nw_platform.cli.ingest",
    "build": "nw_platform.cli.build",
    "check": "nw_platform.cli.check",
    "alerts": "nw_platform.cli.alerts",
    "replay": "nw_platform.cli.replay",
    "rebuild": "nw_platform.cli.rebuild",
    "repair": "nw_platform.cli.repair",
    "verify": "nw_platform.cli.verify",
    "retention": "nw_platform.cli.retention",
    "compact": "nw_platform.cli.compact",
    "sql": "nw_platform.cli.sql",
    "report": "nw_platform.cli.report",
    "ddl": "nw_platform.cli.ddl",
    "generate": "nw_platform.cli.generate",
    "services": "nw_platform.cli.services",
}

# What `nw --help` says of each, without importing it.
SUMMARIES: Final[dict[str, str]] = {
    "init": "write a commented neverwinter.yaml for what is found on this machine",
    "demo": "the whole platform on this machine, with sample logs",
    "up": "run the Dagster UI, daemon and code server for the configuration",
    "watch": "tell when the platform itself is down",
    "config": "check the configuration, or print its JSON Schema",
    "doctor": "find what will break on this machine before it does",
    "ingest": "read what is new into raw and logs",
    "build": "build the report partitions whose logs changed",
    "check": "evaluate every expectation and check once, and deliver alerts",
    "alerts": "see alerts, acknowledge them, send a test",
    "replay": "read raw of some arrival hours from the source again",
    "rebuild": "compute logs of some event hours from raw again",
    "repair": "make damaged tables of the lake whole again",
    "verify": "prove that nothing is missing, repeated or altered",
    "retention": "delete what has expired",
    "compact": "merge the files of closed hours",
    "sql": "query logs and reports with SQL",
    "report": "print a report",
    "ddl": "print Spark or Hive DDL for the tables",
    "generate": "write reproducible traffic and the truth about it",
    "services": "run a Kafka and an HDFS here, for development and tests",
}

_DESCRIPTION: Final = "Proves that logs are complete: what should have arrived, what did, and what is inside."
_EXAMPLE: Final = "nw demo --once\n  nw init && nw config check && nw ingest --once && nw build && nw report summary"


class Command(Protocol):
    """What every command module has."""

    HELP: str
    EXAMPLE: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def run(self, args: argparse.Namespace, out: Output) -> int:
        """Do it; return the exit code. `args.config` is the path given by -c, or None."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are UsageErrors, so that all errors end in one place."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


class _Version(argparse.Action):
    """Prints the version; looked up only then, because reading package metadata takes long."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib import metadata  # noqa: PLC0415  (slow)

        try:
            print(f"neverwinter {metadata.version('neverwinter')}")
        except metadata.PackageNotFoundError:
            print("neverwinter (run from a folder, not installed)")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run `nw` with `argv` (default: the process's arguments) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    out = Output(as_json="--json" in arguments, debug="--debug" in arguments)
    try:
        return _run(arguments, out)
    except NeverwinterError as error:
        return _fail(out, str(error), error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  (the last resort: one line, and the traceback for who asks)
        told = " ".join(str(error).split()) or "no details"
        return _fail(out, f"{type(error).__name__}: {told} (--debug shows where)", 1)


def load_command(name: str) -> Command:
    """Import a command's module.

    Raises:
        UsageError: the module is not installed.
    """
    module = COMMANDS[name]
    try:
        return cast("Command", importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name == module:
            raise UsageError(f"`nw {name}` is not part of this installation") from error
        raise ConfigError(
            f"`nw {name}` needs the Python package {error.name!r}: pip install 'neverwinter[platform]'"
        ) from error


def _run(arguments: list[str], out: Output) -> int:
    keep_memory()
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("the folder that this command was started in was deleted; cd to one that is there") from None
    name = next((word for word in _without_global_values(arguments) if not word.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        raise UsageError(f"there is no command {name!r}{_nearest(name, COMMANDS)}; see `nw --help`")
    parser, command = _parsers(name)
    try:
        args, unknown = parser.parse_known_args(arguments)
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    if command is None:
        out.note(parser.format_help())
        raise UsageError("which command? they are listed above")
    if unknown:
        flags = [flag for action in command._actions for flag in action.option_strings]  # noqa: SLF001  (no other way)
        what = "option" if unknown[0].startswith("-") else "argument"
        raise UsageError(f"unknown {what} {unknown[0]!r}{_nearest(unknown[0], flags)}; see `{command.prog} --help`")
    out.as_json, out.debug = bool(args.json), bool(args.debug)
    code = load_command(args.command).run(args, out)
    out.stdout.flush()
    return code


def _parsers(name: str | None) -> tuple[_Parser, _Parser | None]:
    """The parser, with the one subcommand `name` in full and the others by name only; and the subcommand's own."""
    parser = _Parser(
        prog="nw",
        description=_DESCRIPTION,
        epilog=f"example:\n  {_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_global_flags(suppress=False)],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = None
    for command, summary in SUMMARIES.items():
        if command != name:
            commands.add_parser(command, help=summary, add_help=False)
            continue
        module = load_command(command)
        chosen = commands.add_parser(
            command,
            help=summary,
            description=module.HELP,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[_global_flags(suppress=True)],
            allow_abbrev=False,
        )
        module.configure(chosen)
    return parser, chosen


def _global_flags(*, suppress: bool) -> _Parser:
    """The flags that stand before or after the command. After it they must not reset what stood before it."""
    flags = _Parser(add_help=False)

    def default(value: object) -> object:
        return argparse.SUPPRESS if suppress else value

    group = flags.add_argument_group("global options")
    group.add_argument(
        "-c",
        "--config",
        metavar="PATH",
        default=default(None),
        help="configuration (default: NW_CONFIG, ./neverwinter.yaml)",
    )
    group.add_argument("--json", action="store_true", default=default(value=False), help="print the result as JSON")
    group.add_argument("--debug", action="store_true", default=default(value=False), help="show tracebacks")
    return flags


def _without_global_values(arguments: list[str]) -> list[str]:
    """The arguments without the value of -c, which could look like a command."""
    kept, skip = [], False
    for word in arguments:
        if not skip:
            kept.append(word)
        skip = not skip and word in {"-c", "--config"}
    return kept


def _nearest(word: str, words: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  (only needed for an error)

    near = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _fail(out: Output, message: str, code: int) -> int:
    if out.debug:
        traceback.print_exc(file=out.stderr)
    out.error(message)
    return code


if __name__ == "__main__":
    sys.exit(main())
