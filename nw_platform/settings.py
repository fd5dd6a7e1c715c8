"""Reads the configuration: finds the file, refuses what is wrong whole, and resolves what is left out.

Nothing is read but the file itself: sources, secrets and the clock are not touched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from nw_platform.errors import ConfigError
from nw_platform.record.hosts import plain_host
from nw_platform.record.hours import to_datetime
from nw_platform.record.rules import EventTime
from nw_platform.sources.kafka_options import REFUSED
from nw_platform.streams import document, problems
from nw_platform.streams.channels import Alerts
from nw_platform.streams.declaration import StreamDecl
from nw_platform.streams.entry import MOST_HOURS, EventTimeEntry, StreamEntry
from nw_platform.streams.globs import glob_problems
from nw_platform.streams.names import BUILT_IN_TABLES, stream_name_problem
from nw_platform.streams.problems import ConfigProblem, nearest
from nw_platform.streams.quantities import Duration
from nw_platform.streams.references import alert_problems, unknown
from nw_platform.streams.sources import LOCAL, Address, SourceDecl, SourceEntry
from nw_platform.streams.strict import Part, Text, as_written

__all__ = ["BUILT_IN_TABLES", "CONFIG_NAME", "ConfigFile", "Settings", "check_history", "load", "locate", "parse"]

CONFIG_NAME: Final = "neverwinter.yaml"
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NAME_OF_A_FOLDER: Final = re.compile(r"[/\\\x00-\x1f\x7f]|\A\.{1,2}\Z")
_SUFFIX_LIMIT: Final = 10 << 20  # bytes; no configuration is larger


class ConfigFile(Part):
    """The configuration file of Neverwinter."""

    lake: Address = Field(
        default="./lake", description="Where everything is kept: a path, hdfs://host:port/path or s3://."
    )
    lake_grace_us: Duration = Field(
        default=as_written("1h"),
        alias="lake_grace",
        description="How long replaced files are kept for running readers.",
    )
    sources: dict[Text, SourceEntry] = Field(
        default={}, description="Where streams are read from, by a name of your own."
    )
    streams: dict[Text, StreamEntry] = Field(min_length=1, description="The streams, by name: at least one.")
    hosts: tuple[Text, ...] = Field(
        default=(), description="Hosts that are expected even before they are first seen, in any case."
    )
    alerts: Alerts = Field(default_factory=Alerts, description="Where alerts go.")


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that was checked whole, every default resolved, every path absolute."""

    path: str  # where it was read from: a URL or an absolute path
    lake: str  # an absolute path or a URL
    lake_grace_us: int
    work: Path  # a local folder for hints and processes' files; created by who uses it
    sources: Mapping[str, SourceDecl]
    streams: Mapping[str, StreamDecl]
    hosts: tuple[str, ...] = ()
    alerts: Alerts = field(default_factory=Alerts)

    def stream(self, name: str) -> StreamDecl:
        """The stream of this name.

        Raises:
            ConfigError: there is none; the message names the nearest.
        """
        if name not in self.streams:
            near = nearest(name, self.streams)
            raise ConfigError(f"there is no stream {name!r}; declared are: {', '.join(self.streams)}{near}")
        return self.streams[name]


def load(path: str | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration at `path`, else at NW_CONFIG, else ./neverwinter.yaml. Any fsspec URL will do.

    Raises:
        ConfigError: there is none, or it is wrong; one line a problem.
    """
    environ = os.environ if environ is None else environ
    origin = locate(path, environ=environ)
    text = _read(origin)
    if _URL.match(origin):
        work = _state_folder(environ) / re.sub(r"[^A-Za-z0-9._-]+", "_", origin)
        return parse(text, base=origin.rsplit("/", 1)[0], origin=origin, work=work)
    return parse(text, base=str(Path(origin).parent), origin=origin)


def locate(path: str | None = None, *, environ: Mapping[str, str] | None = None) -> str:
    """Where the configuration is looked for: a URL or an absolute path."""
    environ = os.environ if environ is None else environ
    chosen = path or environ.get("NW_CONFIG") or CONFIG_NAME
    if chosen.startswith("file://"):
        chosen = chosen.removeprefix("file://")
    return chosen if _URL.match(chosen) else str(Path(chosen).expanduser().absolute())


def written(path: str) -> tuple[int, int] | None:
    """Changes when a file is written; None: it is not there, or not a local file."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def parse(text: str, *, base: str, origin: str, work: Path | None = None) -> Settings:
    """The settings that a configuration's text stands for.

    Args:
        text: YAML (JSON is YAML too).
        base: the folder (absolute path or URL) that relative paths start from.
        origin: where the text came from, as messages name it.
        work: a local folder for hints; default `<base>/.neverwinter`.

    Raises:
        ConfigError: it is wrong; one line a problem.
    """
    content = document.read(text, origin)
    if content.data is None:
        raise ConfigError(f"{origin}: the file is empty; `nw init` writes one, or: {_SMALLEST}")
    if not isinstance(content.data, dict):
        raise ConfigError(f"{origin}: found {problems.shown(content.data)}; allowed: a mapping like {_SMALLEST}")
    try:
        file = ConfigFile.model_validate(content.data)
    except ValidationError as error:
        found = problems.of_validation(error, ConfigFile) + _name_problems(content.data.get("streams"))
        raise ConfigError(problems.render(found, content, origin)) from None
    found = _name_problems(file.streams) + _reference_problems(file, base)
    if found:
        raise ConfigError(problems.render(found, content, origin))
    settings = _resolve(file, base=base, origin=origin, work=work)
    found = [problem for stream in settings.streams.values() for problem in _format_problems(stream)]
    if found:
        raise ConfigError(problems.render(found, content, origin))
    return settings


def check_history(settings: Settings, now: int) -> None:
    """Refuse a history with an open end that has grown past what Dagster can show. `now`: microseconds.

    Raises:
        ConfigError: one line a stream.
    """
    today = to_datetime(now).date()
    found = []
    for stream in settings.streams.values():
        hours = ((stream.history_until or today) - stream.history_from).days * 24
        if hours > MOST_HOURS:
            earliest = today - timedelta(days=MOST_HOURS // 24)
            found.append(
                f"{settings.path}: streams.{stream.name}.history.from: found {stream.history_from}; allowed: at most"
                f" {MOST_HOURS:,} hours (Dagster's limit), and until today it has {hours:,};"
                f" start after {earliest}, or set `until`"
            )
    if found:
        raise ConfigError("\n".join(found))


_SMALLEST: Final = '{streams: {web: {path: "/var/log/nginx/access.log*"}}}'


def _name_problems(streams: Any) -> list[ConfigProblem]:  # noqa: ANN401  (whatever the file holds)
    """Names of streams that cannot be directories, asset keys and SQL names at once."""
    if not isinstance(streams, Mapping):
        return []
    lows: dict[str, str] = {}
    found = []
    for name in streams:
        problem = stream_name_problem(str(name), lows)
        lows.setdefault(str(name).lower(), str(name))
        if problem:
            found.append(ConfigProblem(("streams", str(name)), problem))
    return found


def _reference_problems(file: ConfigFile, base: str) -> list[ConfigProblem]:
    """Names that point to nothing, and keys that do not go together."""
    found = []
    for name, stream in file.streams.items():
        found += [
            ConfigProblem(("streams", name, *p.path), p.text) for p in _stream_problems(stream, file.sources, base)
        ]
    for name, source in file.sources.items():
        found += [
            ConfigProblem(("sources", name, "options", option), f"cannot be set ({REFUSED[option]}): take it out")
            for option in source.options
            if source.kind == "kafka" and option in REFUSED
        ]
    for kind, names in (("sources", file.sources), ("channels", file.alerts.channels)):
        above = ("sources",) if kind == "sources" else ("alerts", "channels")
        found += [
            ConfigProblem((*above, name), f"found the name {problems.shown(name)}; allowed: one without / and \\")
            for name in names
            if _NAME_OF_A_FOLDER.search(name)
        ]
    found += alert_problems(file.alerts, list(file.streams))
    for number, host in enumerate(file.hosts):
        if plain_host(host) in map(plain_host, file.hosts[:number]):
            found.append(ConfigProblem(("hosts", number), f"found {host!r} again; allowed: each host once"))
    return found


def _stream_problems(stream: StreamEntry, sources: Mapping[str, SourceEntry], base: str) -> list[ConfigProblem]:
    if stream.source is not None and stream.source not in sources:
        return [ConfigProblem(("source",), unknown("source", stream.source, sources))]
    kind = sources[stream.source].kind if stream.source is not None else "landing"
    where = f"a {kind} source" if stream.source is not None else "the files of this machine (no `source` is named)"
    found = []
    if kind == "landing" and stream.topic is not None:
        found.append(ConfigProblem(("topic",), f"a topic, but {where} has none; allowed: path, or a kafka source"))
    if kind == "kafka" and stream.path is not None:
        found.append(ConfigProblem(("path",), f"a path, but {where} has none; allowed: topic, or a landing source"))
    if kind == "landing" and stream.path is None:
        found.append(ConfigProblem((), f"`path` is missing: a glob of the files to read from {where}"))
    if kind == "kafka" and stream.topic is None:
        found.append(ConfigProblem((), f"`topic` is missing: what to read from {where}"))
    if kind == "landing" and "start" in stream.model_fields_set:
        found.append(ConfigProblem(("start",), f"a start, but {where} is read from its beginning; allowed with kafka"))
    if kind == "landing" and stream.lanes > 1:
        found.append(ConfigProblem(("lanes",), f"found {stream.lanes}; allowed: 1 for {where}"))
    if kind == "landing":
        found += glob_problems(stream, base)
    elif stream.rotated or stream.follow_links:
        key = "rotated" if stream.rotated else "follow_links"
        found.append(ConfigProblem((key,), f"{key}, but {where} has no files; allowed: with a landing source"))
    return found


def _format_problems(stream: StreamDecl) -> list[ConfigProblem]:
    """What only the format itself can judge: its patterns and layouts."""
    layout = stream.event_time.layout if stream.event_time else None
    if stream.format == "auto" or not any((stream.pattern, stream.layout, stream.delimiter, stream.quote, layout)):
        return []
    from nw_platform.parsing.registry import make_format  # noqa: PLC0415  (slow to import, and seldom needed)

    try:
        make_format(stream.parse_options())
    except ConfigError as error:
        key, colon, text = str(error).partition(": ")
        named = colon and re.fullmatch(r"[a-z_.]+", key)
        path = ("streams", stream.name, *(key.split(".") if named else ()))
        return [ConfigProblem(path, text if named else str(error))]
    return []


def _resolve(file: ConfigFile, *, base: str, origin: str, work: Path | None) -> Settings:
    sources = {
        name: SourceDecl(
            name=name,
            kind=entry.kind,
            url=_absolute(entry.url, base) if entry.url is not None else None,
            bootstrap=entry.bootstrap,
            datacenter=entry.datacenter,
            options=entry.options,
        )
        for name, entry in file.sources.items()
    }
    return Settings(
        path=origin,
        lake=_absolute(file.lake, base),
        lake_grace_us=file.lake_grace_us,
        work=work or Path(base) / ".neverwinter",
        sources=sources,
        streams={name: _resolve_stream(name, entry, sources, base) for name, entry in file.streams.items()},
        hosts=tuple(plain_host(host) for host in file.hosts),
        alerts=file.alerts,
    )


def _resolve_stream(name: str, entry: StreamEntry, sources: Mapping[str, SourceDecl], base: str) -> StreamDecl:
    source = sources[entry.source] if entry.source is not None else LOCAL
    path, rotated = entry.path, entry.rotated
    if path is not None and source is LOCAL:
        path = _absolute(path, base)
        rotated = tuple(_absolute(pattern, base) for pattern in rotated)
    return StreamDecl(
        name=name,
        source=source,
        path=path,
        topics=entry.topic or (),
        start=entry.start,
        format=entry.format,
        event_time=_event_time(entry.event_time),
        columns=dict(entry.columns),
        encoding=entry.encoding,
        max_record=entry.max_record,
        message_format=entry.message_format,
        multiline_start=entry.multiline.start if entry.multiline else None,
        layout=entry.layout,
        pattern=entry.pattern,
        delimiter=entry.delimiter,
        quote=entry.quote,
        header=entry.header,
        year=entry.year,
        log_type=entry.log_type,
        late_after_us=entry.late_after_us,
        growing=source is LOCAL if entry.growing is None else entry.growing,
        rotated=rotated,
        follow_links=entry.follow_links,
        every_us=entry.every_us,
        history_from=entry.history.first,
        history_until=entry.history.until,
        lanes=entry.lanes,
        retention_raw_us=entry.retention.raw_us,
        retention_logs_us=entry.retention.logs_us,
        expect=entry.expect,
        paused=entry.paused,
    )


def _event_time(entry: EventTimeEntry | None) -> EventTime | None:
    if entry is None:
        return None
    return EventTime(field=entry.field, unit=entry.unit, layout=entry.layout, zone=entry.zone)


def _absolute(path: str, base: str) -> str:
    """A path as an absolute path or URL: relative ones start from `base`."""
    if path.startswith("file://"):
        path = path.removeprefix("file://")
    if _URL.match(path):
        return path.rstrip("/")
    if path.startswith("~"):
        path = str(Path(path).expanduser())
    if _URL.match(base) and not path.startswith("/"):
        return f"{base.rstrip('/')}/{path.removeprefix('./')}".rstrip("/")
    return os.path.normpath(Path(base) / path)


def _state_folder(environ: Mapping[str, str]) -> Path:
    """Where a configuration that is not on this machine keeps its local hints."""
    home = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "neverwinter"


def _read(origin: str) -> str:
    try:
        if _URL.match(origin):
            import fsspec  # noqa: PLC0415  (slow to import, and seldom needed)

            with fsspec.open(origin, "rb") as file:
                data = bytes(file.read(_SUFFIX_LIMIT))
        else:
            data = Path(origin).read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration at {origin}: `nw init` writes one; or name one by -c or NW_CONFIG"
        ) from None
    except (OSError, ValueError, ImportError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"the configuration {origin} cannot be read: {reason}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration {origin} is not UTF-8 text (byte {error.start})") from error
