"""What an error of the engine says of a file of the lake that is gone or damaged, and which command makes it anew."""

from __future__ import annotations

import re
from typing import Final

from nw_platform.record.hours import next_hour

_FILE: Final = re.compile(r"(?:^|/)(raw|logs)/stream=([^/]+)/(dt=(\d{4}-\d\d-\d\d)/hour=(\d\d)/[^/\s'\"]+\.parquet)")
_SHARED_FILE: Final = re.compile(r"(?:^|/)(receipts|duplicates|alerts)/(?:stream=[^/]+/)?dt=[^/]+/[^/\s'\"]+\.parquet")
_REPAIR: Final = re.compile(r"nw (?:repair(?: \w+)?|re(?:play|build) \S+ \S+ \S+)$")  # where an error names it itself
# How deltalake words that the log of a table is damaged.
_DAMAGED: Final = ("Json error", "found gap", "Parquet", "parquet", "Arrow", "checkpoint", "No table metadata")
_COMMANDS: Final = {"raw": "replay", "logs": "rebuild"}  # raw is read again from the source, logs are made from raw


def told(error: Exception | str, limit: int = 300) -> str:
    """The error in one line, without the query that DuckDB shows with it."""
    return " ".join(str(error).split()).partition(" LINE 1:")[0][:limit]


def repair_of(stream: str, error: Exception | str) -> str:
    """The command that makes the file anew that the error names; '' if it names none of the stream."""
    text = str(error)
    if named := _REPAIR.search(text):
        return named[0]
    found = _FILE.search(text)
    return repair(stream, found[1], f"{found[4]}T{found[5]}") if found and found[2] == stream else ""


def repair_named(error: Exception | str) -> str:
    """The command that makes the file anew that an error names, whichever table it is of; '' if it names none."""
    text = str(error)
    if found := _FILE.search(text):
        return repair(found[2], found[1], f"{found[4]}T{found[5]}")
    shared = _SHARED_FILE.search(text)
    return "" if shared is None else "nw repair"


def repair(stream: str, layer: str, hour: str) -> str:
    """The command that makes an hour of `raw` or `logs` anew."""
    return f"nw {_COMMANDS[layer]} {stream} {hour} {next_hour(hour)}"


def repair_of_table(path: str) -> str:
    """The command that makes a table whole again. `path`: of the table in the lake."""
    if path == "_identity":
        return "nw init --new-lake"
    stream = path.partition("/stream=")[2]
    return f"nw repair {stream}" if stream else "nw repair"


def is_damage(error: BaseException) -> bool:
    """Whether an error tells of a log that cannot be read, and not of a storage that does not answer."""
    told = str(error)
    return not isinstance(error, OSError) and any(t in told for t in _DAMAGED) and "object store" not in told
