"""`nw init`: writes a commented neverwinter.yaml for what it finds on this machine."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nw_platform.cli.output import Output, clock, visible
from nw_platform.errors import UsageError
from nw_platform.ingest.preview.model import Preview
from nw_platform.settings import BUILT_IN_TABLES, load, locate, parse
from nw_platform.sources.landing.globs import is_ready

HELP = (
    "Write a commented neverwinter.yaml for the logs that are found on this machine, or below the folders given.\n"
    "With --new-lake: say that the lake of the configuration is to be another one than before, or a new one."
)
EXAMPLE = "nw init\n  nw init --new-lake\n  nw init /srv/app/logs --output neverwinter.yaml"

# What is looked for: the stream's name, a glob, a remark. A file belongs to the first glob that matches it.
KNOWN: Final = (
    ("nginx_access", "/var/log/nginx/*access*.log*", "nginx: requests"),
    ("nginx_error", "/var/log/nginx/*error*.log*", "nginx: errors"),
    ("apache_access", "/var/log/apache2/*access*.log*", "Apache: requests"),
    ("apache_error", "/var/log/apache2/*error*.log*", "Apache: errors"),
    ("httpd_access", "/var/log/httpd/*access_log*", "Apache: requests"),
    ("httpd_error", "/var/log/httpd/*error_log*", "Apache: errors"),
    ("syslog", "/var/log/syslog*", "the system's log"),
    ("messages", "/var/log/messages*", "the system's log"),
    ("auth", "/var/log/auth.log*", "logins"),
    ("kernel", "/var/log/kern.log*", "the kernel"),
)
_OTHERS: Final = ("/var/log/*.log", "/var/log/*/*.log")
_MOST_STREAMS: Final = 40
_ROTATED: Final = re.compile(r"(\.log)?([.-][0-9]+)*(\.(gz|zst|bz2|xz))?\Z")

_HEAD: Final = """\
# Neverwinter reads the streams below into the lake, and proves that they are complete.
# Check this file with `nw config check`; all keys are in docs/configuration.md.
# Then: nw ingest --once && nw build && nw report summary

# Where everything is kept: a path (from this file's folder), hdfs://host:port/path or s3://bucket/path.
lake: ./lake

# Log files on other file systems: declare a source, and name it in a stream by `source:`.
# sources:
#   landing: {kind: landing, url: "webhdfs://namenode:9870/landing", datacenter: east}

# One stream for each kind of log. Its format is found out from the first lines (`nw config check` names it);
# say `format: json` (or combined, log4j, syslog, csv, regex, lines) where that should not be left to it.
streams:
"""
_TAIL: Final = """
# What a stream promises is written below it, and judged every minute:
#     expect:
#       - {kind: volume, min_lines: 1, every: 15m}
#       - {kind: file, name: "export-{date}.csv", by: "06:00", grace: 30m}
#     retention: {raw: 30d, logs: 400d}

# Hosts that are expected even before they are first seen:
# hosts: [web-01, web-02]

# Where alerts go. Secrets are references (env:NAME, file:PATH), never written here.
# alerts:
#   channels:
#     ops: {kind: slack, url: "env:SLACK_WEBHOOK"}
#   routes: [{severity: error, to: [ops]}]
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A stream to propose."""

    name: str
    path: str
    remark: str
    encoding: str | None = None  # None: the default
    refusal: str = ""  # why it cannot be a stream as it is


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw init`."""
    parser.add_argument("folders", metavar="FOLDER", nargs="*", help="look for *.log files here instead of in /var/log")
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="the file to write (default: -c, NW_CONFIG, ./neverwinter.yaml)"
    )
    parser.add_argument(
        "--new-lake",
        action="store_true",
        help="write no file: take what is at `lake:` of the configuration for its lake, and begin one if there is none",
    )
    parser.add_argument("--force", action="store_true", help="overwrite it if it is there")


def run(args: argparse.Namespace, out: Output) -> int:
    """Write the file; with --new-lake, take another lake."""
    if args.new_lake:
        return _take_lake(args.config, out)
    target = locate(args.output or args.config)
    if "://" in target:
        raise UsageError(f"{target} is no path of this machine; write the file here and copy it there")
    path = Path(target)
    found = list(find(args.folders))
    with out.progress(None, "reading samples of the logs"):
        found = tried(found, path)
    text = compose(found)
    parse(text, base=str(path.parent), origin=str(path))  # what we propose is valid, or nothing is written
    try:
        with path.open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already; --force overwrites it, -o PATH writes another") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; -o PATH names another") from error
    names = [stream.name for stream in found if not stream.refusal]
    if out.as_json:
        out.result({"config": str(path), "streams": names})
    else:
        out.result(str(path))
    out.note(
        f"{len(names)} streams: {', '.join(names)}; now run: nw config check"
        if names
        else "no readable log files were found; the file has an example: change its path, then run: nw config check"
    )
    return 0


def _take_lake(config: str | None, out: Output) -> int:
    """Remember the lake that is there now, instead of the one that was used before."""
    from nw_platform.ingest.opening import open_lake  # noqa: PLC0415  (slow to import, and seldom needed)
    from nw_platform.lake.mending import mend_log  # noqa: PLC0415  (as above)

    lake = open_lake(load(config))
    mend_log(lake, lake.identity(), clock())
    known = lake.renew()
    out.result({"lake": lake.url, "id": known} if out.as_json else f"{lake.url} is the lake {known[:8]} from now on")
    return 0


def find(folders: list[str]) -> Iterator[Found]:
    """The streams to propose: what can be read and is not empty, at most 40."""
    taken: set[Path] = set()
    names: set[str] = set()
    below = ((_name(Path(glob), folder), glob, "") for folder in folders for glob in _logs_below(folder))
    for name, glob, remark in below if folders else _usual():
        new = [path for path in _matching(glob) if path not in taken and _readable(path)]
        if not new or len(names) == _MOST_STREAMS:
            continue
        taken.update(new)
        unique = (
            name if name not in names else next(f"{name}_{n}" for n in range(2, 1000) if f"{name}_{n}" not in names)
        )
        names.add(unique)
        yield Found(unique, glob, remark)


def tried(found: list[Found], target: Path) -> list[Found]:
    """The same streams, with the encoding that reads a sample, or why none of it can be read: see nw config check."""
    if not found:
        return found
    once = [_tried(stream, preview) for stream, preview in zip(found, _previews(found, target), strict=True)]
    again = [stream for stream in once if stream.encoding is not None]
    previews = {preview.stream: preview for preview in _previews(again, target)} if again else {}
    return [_tried(stream, previews[stream.name]) if stream.name in previews else stream for stream in once]


def _previews(found: list[Found], target: Path) -> list[Preview]:
    from nw_platform.cli.probe import probe_all  # noqa: PLC0415  (what reads sources is slow to import)

    return probe_all(parse(compose(found), base=str(target.parent), origin=str(target)), clock())


def _tried(stream: Found, preview: Preview) -> Found:
    """What a preview says to a stream: another encoding, or that it cannot be read."""
    if preview.fitting_encoding is not None and stream.encoding is None:
        return replace(stream, encoding=preview.fitting_encoding)
    return replace(stream, refusal=preview.problems[0]) if preview.problems else stream


def compose(found: list[Found]) -> str:
    """The text of the file."""
    lines = []
    for stream in found:
        if stream.refusal:
            lines.append(f"  # left out: {json.dumps(stream.path, ensure_ascii=False)}: {visible(stream.refusal)}\n")
            continue
        remark = f"  # {stream.remark}" if stream.remark else ""
        encoding = f"    encoding: {stream.encoding}\n" if stream.encoding else ""
        lines.append(f"  {stream.name}:{remark}\n    path: {json.dumps(stream.path, ensure_ascii=False)}\n{encoding}")
    if all(stream.refusal for stream in found):
        lines += ['  web:\n    path: "/var/log/nginx/access.log*"  # an example: nothing was found on this machine\n']
    return _HEAD + "".join(lines) + _TAIL


def _usual() -> Iterator[tuple[str, str, str]]:
    yield from KNOWN
    for glob in _OTHERS:
        for path in _matching(glob):
            yield _name(path, "/var/log"), f"{_escape(path)}*", ""


def _logs_below(folder: str) -> Iterator[str]:
    """A glob for each log with its rotated files."""
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise UsageError(f"{root} is no folder; name one that holds *.log files")
    ready = (path for path in sorted(root.rglob("*.log*")) if all(map(is_ready, path.relative_to(root).parts)))
    stems = {_ROTATED.sub("", str(path)) for path in ready if path.is_file()}
    for stem in sorted(stems):
        yield f"{_escape(Path(stem))}.log*"


def _name(path: Path, folder: str) -> str:
    """A stream's name for a file: its path below `folder` without its endings."""
    text = str(path).removeprefix(str(Path(folder).expanduser().absolute())).strip("/")
    text = re.sub(r"\[([*?\[])\]", r"\1", text).rstrip("*")
    name = re.sub(r"[^A-Za-z0-9]+", "_", _ROTATED.sub("", text)).strip("_").lower()[:80]
    return f"{name or 'log'}_log" if not name or name in BUILT_IN_TABLES else name


def _escape(path: Path) -> str:
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _matching(glob: str) -> list[Path]:
    try:
        return sorted(Path("/").glob(glob.lstrip("/")))
    except OSError:
        return []


def _readable(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0 and os.access(path, os.R_OK)
    except OSError:
        return False
