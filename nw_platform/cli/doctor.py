"""`nw doctor`: finds what will break on this machine before it does."""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from nw_platform.cli.output import Output, clock
from nw_platform.errors import ConfigError, NeverwinterError
from nw_platform.settings import Settings, check_history, load, locate

HELP = (
    "Find what will break: limits, disk, ports, clock, permissions, sources, versions. Ends with 1 if something will."
)
EXAMPLE = "nw doctor\n  nw doctor -c neverwinter.yaml --json"

State = Literal["ok", "warn", "fail"]

_PYTHON: Final = (3, 11)
_FILES_FEW, _FILES_GOOD = 256, 1024
_DISK_FEW, _DISK_GOOD = 1 << 30, 10 << 30
_UI_PORT: Final = 3000
_CLOCK_OLDEST_US: Final = 1_767_225_600_000_000  # 2026-01-01: before this program was written
_CLOCK_SKEW_US: Final = 5_000_000
_PACKAGES: Final = {  # distribution -> (module, the version it must start with: what was tested together)
    "dagster": ("dagster", "1.13."),
    "dbt-core": ("dbt", "1.11."),
    "dbt-duckdb": ("dbt", "1.11."),
    "duckdb": ("duckdb", "2."),
    "pyarrow": ("pyarrow", "26."),
    "deltalake": ("deltalake", "1.6."),
    "fsspec": ("fsspec", ""),
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at. `fix` says what to do unless the state is ok."""

    what: str
    state: State
    found: str
    fix: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw doctor`."""
    parser.add_argument("--timeout", metavar="S", type=float, default=15.0, help="seconds to wait for a source (15)")


def run(args: argparse.Namespace, out: Output) -> int:
    """Look at everything; 1 if something fails."""
    found = [check_python(), *check_packages(), check_open_files(), check_clock(clock()), check_port(_UI_PORT)]
    settings = None
    try:
        settings = load(args.config)
        check_history(settings, clock())
        found.append(Diagnosis("configuration", "ok", settings.path))
    except ConfigError as error:
        # A machine without a configuration is a new one, not a broken one.
        missing = settings is None and not os.path.lexists(locate(args.config))
        state: State = "warn" if missing and args.config is None else "fail"
        fix = "nw init" if missing else "nw config check names every problem"
        found.append(Diagnosis("configuration", state, str(error).splitlines()[0].partition(": `")[0], fix))
    if settings is not None:
        found += [check_lake(settings), check_disk(settings), check_work(settings)]
        with out.progress(None, "trying the sources"):
            found += check_sources(settings, args.timeout)
    if out.as_json:
        out.result([asdict(diagnosis) for diagnosis in found])
    else:
        width = max(len(diagnosis.what) for diagnosis in found)
        out.result("\n".join(_line(diagnosis, width) for diagnosis in found))
    return 1 if any(diagnosis.state == "fail" for diagnosis in found) else 0


def check_python() -> Diagnosis:
    """The version of Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON:
        return Diagnosis("python", "fail", version, "install Python 3.11 or newer")
    return Diagnosis("python", "ok", version)


def check_packages() -> Iterator[Diagnosis]:
    """The packages that the platform needs, in versions that were tested together."""
    for name, (_, tested) in _PACKAGES.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Diagnosis(name, "fail", "not installed", "pip install 'neverwinter[platform]'")
            continue
        state: State = "ok" if version.startswith(tested) else "warn"
        fix = f"tested with {tested}*: pip install 'neverwinter[platform]'"
        yield Diagnosis(name, state, version, "" if state == "ok" else fix)


def check_open_files() -> Diagnosis:
    """The limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FILES_GOOD:
        return Diagnosis("open files", "ok", "no limit" if soft == resource.RLIM_INFINITY else str(soft))
    state: State = "fail" if soft < _FILES_FEW else "warn"
    wanted = _FILES_GOOD if hard == resource.RLIM_INFINITY else min(_FILES_GOOD, hard)
    return Diagnosis("open files", state, str(soft), f"ulimit -n {wanted}")


def check_clock(now: int) -> Diagnosis:
    """Whether the clock can be right: after this program was written, and that of files on disk."""
    if now < _CLOCK_OLDEST_US:
        return Diagnosis("clock", "fail", "is years behind", "set it, and run chrony or ntpd")
    with tempfile.NamedTemporaryFile() as file:
        skew = abs(Path(file.name).stat().st_mtime_ns // 1000 - now)
    if skew > _CLOCK_SKEW_US:
        return Diagnosis("clock", "warn", f"{skew // 1_000_000} s off the file system's", "run chrony or ntpd on both")
    return Diagnosis("clock", "ok", "plausible")


def check_port(port: int) -> Diagnosis:
    """Whether the Dagster UI's usual port is free."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or str(error)
            return Diagnosis(f"port {port}", "warn", reason, f"stop what listens there, or nw up --port {port + 1}")
    return Diagnosis(f"port {port}", "ok", "free")


def check_lake(settings: Settings) -> Diagnosis:
    """Whether the lake can be written: in its folder, or the nearest one above that is there."""
    if "://" in settings.lake:
        return _reach_lake(settings.lake)
    return _writable("lake", Path(settings.lake))


def check_work(settings: Settings) -> Diagnosis:
    """Whether the folder for hints can be written."""
    return _writable("work folder", settings.work)


def check_disk(settings: Settings) -> Diagnosis:
    """Free space where the lake is, or (lake elsewhere) where hints and temporary files are."""
    path = settings.work if "://" in settings.lake else Path(settings.lake)
    free = shutil.disk_usage(_existing(path)).free
    state: State = "fail" if free < _DISK_FEW else "warn" if free < _DISK_GOOD else "ok"
    fix = f"free some space on the disk of {path}, or shorten `retention`"
    return Diagnosis("free disk", state, f"{free / (1 << 30):.1f} GiB", "" if state == "ok" else fix)


def check_sources(settings: Settings, timeout_s: float) -> Iterator[Diagnosis]:
    """Whether every stream can be read, waiting no longer than `timeout_s`."""
    try:
        probe_all = importlib.import_module("nw_platform.cli.probe").probe_all
    except ImportError as error:
        yield Diagnosis("sources", "fail", str(error), "pip install 'neverwinter[platform]'")
        return
    for probe in probe_all(settings, clock(), timeout_s=timeout_s):
        what = f"stream {probe.stream}"
        if probe.problems:
            more = f" (and {len(probe.problems) - 1} more)" if len(probe.problems) > 1 else ""
            yield Diagnosis(what, "fail", probe.problems[0] + more, f"look at {probe.where}; nw config check says more")
        elif not probe.found:
            yield Diagnosis(what, "warn", "nothing there yet", f"look whether {probe.unit}s should match {probe.where}")
        else:
            found = f"{probe.unit}s: {probe.found:,}, format: {probe.format}"
            if probe.warnings:
                yield Diagnosis(what, "warn", f"{found}; {probe.warnings[0]}", "nw config check says more")
            else:
                yield Diagnosis(what, "ok", found)


def _reach_lake(url: str) -> Diagnosis:
    try:
        lake = importlib.import_module("nw_platform.lake.store").Lake(url, work=Path(tempfile.gettempdir()))
        lake.receipts().exists()
    except NeverwinterError as error:
        return Diagnosis("lake", "fail", str(error), f"see that {url} can be reached from here")
    except Exception as error:  # noqa: BLE001  (whatever a file system raises is what is wrong with it)
        return Diagnosis("lake", "fail", f"{type(error).__name__}: {error}", f"see that {url} can be reached from here")
    return Diagnosis("lake", "ok", url)


def _writable(what: str, path: Path) -> Diagnosis:
    there = _existing(path)
    if not there.is_dir():
        return Diagnosis(what, "fail", f"{there} is no folder", "name another in the configuration")
    try:
        with tempfile.TemporaryFile(dir=there):
            return Diagnosis(what, "ok", str(path))
    except OSError as error:
        reason = error.strerror or str(error)
        return Diagnosis(
            what, "fail", f"{there} cannot be written: {reason}", f"chown or chmod {there}, or move the lake"
        )


def _existing(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    candidates: Iterator[Path] = iter((path, *path.parents))
    exists: Callable[[Path], bool] = os.path.lexists
    return next(candidate for candidate in candidates if exists(candidate))


def _line(diagnosis: Diagnosis, width: int) -> str:
    fix = f"; fix: {diagnosis.fix}" if diagnosis.fix else ""
    return f"{diagnosis.state:<4}  {diagnosis.what:<{width}}  {diagnosis.found}{fix}"
