"""A Delta table whose log is damaged is made readable again, by setting aside what cannot be read.

Nothing is deleted: what is set aside goes to `_damaged/` in the table's folder, under its name and the time. What it
said is lost to every reader anyway; who repairs the table (ingest/repair.py) finds out from receipts what that was.

In this order, one thing at a time, until the table can be read:
    a commit that says nothing (0 bytes, or no more than the commit's remarks), if it is the newest
    a newest commit that is no JSON
    `_last_checkpoint`, and checkpoints that are no Parquet, if the commits reach back without them
    the whole log: the table is then made anew
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from nw_platform.errors import LakeError
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeTable
from nw_platform.record.hours import to_datetime

ASIDE: Final = "_damaged"  # a folder that Delta's readers, and its vacuum, leave alone
_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
_MOST: Final = 10_000  # commits of a log, set aside one by one


@dataclass(frozen=True, slots=True)
class LogMended:
    """What was set aside of one table's log: names relative to the table. None: nothing had to be."""

    aside: tuple[str, ...] = ()


def mend_log(lake: Lake, table: LakeTable, now: int, *, torn_only: bool = False) -> LogMended:
    """Make a table readable.

    `torn_only`: set aside only what a power cut leaves behind, newest commits and checkpoints that were not written
    whole. Nobody was told that they were made.

    Raises:
        LakeError: the storage fails, or what cannot be read cannot be set aside either.
    """
    aside: list[str] = []
    for _ in range(_MOST):
        damaged = _damaged(lake, table)
        if not damaged or (torn_only and len(damaged) > 1 and any(map(_COMMIT.fullmatch, damaged))):
            break
        _move(lake, table, damaged, now)
        aside += [f"_delta_log/{name}" for name in damaged]
    return LogMended(tuple(aside))


def set_log_aside(lake: Lake, table: LakeTable, now: int) -> None:
    """Set the whole log of a table aside: it is then made anew. Its files stay where they are.

    Raises:
        LakeError: the storage fails.
    """
    _move(lake, table, _names(lake, table), now)


def is_blank(data: bytes) -> bool:
    """Whether a commit says nothing of the table: it is empty, or its writer did not get further than its remarks."""
    try:
        actions = [json.loads(line) for line in data.splitlines() if line.strip()]
        remarks = [action["commitInfo"] for action in actions]
    except (ValueError, KeyError, TypeError):
        return False
    # A vacuum's commits are nothing but remarks.
    return not any("VACUUM" in str(remark.get("operation", "")).upper() for remark in remarks)


def _damaged(lake: Lake, table: LakeTable) -> list[str]:
    """What of the log is to be set aside next, so that the table can be read; nothing, if it can."""
    names = _names(lake, table)
    commits = sorted(name for name in names if _COMMIT.fullmatch(name))
    if not names:
        return []
    newest = _read(lake, table, commits[-1]) if commits else b""
    if commits and is_blank(newest):
        return commits[-1:]
    if _can_be_read(table) and (commits or table.exists()):
        return []
    if commits and not _is_json(newest):
        return commits[-1:]
    return _damaged_checkpoints(lake, table, names, commits) or names


def _damaged_checkpoints(lake: Lake, table: LakeTable, names: list[str], commits: list[str]) -> list[str]:
    """Checkpoints that are no Parquet, if the table is told without them; else what names the newest one."""
    broken = [name for name in names if _CHECKPOINT.fullmatch(name) and not _is_parquet(lake, table, name)]
    pointer = [name for name in names if name == "_last_checkpoint"]
    if not broken:
        return pointer
    return [*broken, *pointer] if _reach_back(commits, [name for name in names if name not in broken]) else []


def _can_be_read(table: LakeTable) -> bool:
    """Whether a table, if there is one, can be read."""
    try:
        snapshot = table.snapshot()
        if snapshot is not None:
            snapshot.files()
            snapshot.transaction("")
    except LakeError:
        return False
    return True


def _reach_back(commits: list[str], names: list[str]) -> bool:
    """Whether the commits alone, or those after a checkpoint among `names`, tell the whole table."""
    versions = [int(_COMMIT.fullmatch(name)[1]) for name in commits]  # type: ignore[index]  # they match
    if not versions or versions != list(range(versions[0], versions[-1] + 1)):
        return False
    kept = [int(found[1]) for found in map(_CHECKPOINT.fullmatch, names) if found]
    return versions[0] == 0 or any(version >= versions[0] - 1 for version in kept)


def _names(lake: Lake, table: LakeTable) -> list[str]:
    selector = pafs.FileSelector(f"{table.path}/_delta_log", allow_not_found=True)
    try:
        infos = lake.files.get_file_info(selector)
    except OSError as error:
        raise LakeError(f"cannot list the log of the table {table.url}: {error}") from error
    return sorted(info.base_name for info in infos if info.type == pafs.FileType.File)


def _read(lake: Lake, table: LakeTable, name: str) -> bytes:
    try:
        with lake.files.open_input_stream(f"{table.path}/_delta_log/{name}") as stream:
            return bytes(stream.read())
    except OSError as error:
        raise LakeError(f"cannot read {name} of the log of the table {table.url}: {error}") from error


def _is_json(data: bytes) -> bool:
    try:
        return all(isinstance(json.loads(line), dict) for line in data.splitlines() if line.strip())
    except ValueError:
        return False


def _is_parquet(lake: Lake, table: LakeTable, name: str) -> bool:
    try:
        pq.ParquetFile(pa.BufferReader(_read(lake, table, name))).read()
    except (pa.ArrowException, OSError):
        return False
    return True


def _move(lake: Lake, table: LakeTable, names: list[str], now: int) -> None:
    stamp = to_datetime(now).strftime("%Y%m%dT%H%M%S.%f")
    for name in sorted(names, reverse=True):  # the newest first: what is left is a table at any moment
        _set_aside(lake, f"{table.path}/_delta_log/{name}", f"{table.path}/{ASIDE}/{stamp}.{name}")


def _set_aside(lake: Lake, source: str, target: str) -> None:
    try:
        lake.files.create_dir(target.rsplit("/", 1)[0], recursive=True)
        with lake.files.open_input_stream(source) as stream:
            data = stream.read()
        with lake.files.open_output_stream(target) as out:
            out.write(data)
        lake.files.delete_file(source)
    except OSError as error:
        raise LakeError(f"cannot set {source} of the lake {lake.url} aside: {error}") from error
