"""Format `syslog`: RFC 5424 and RFC 3164 in one stream, with the priority in front or without.

    <34>1 2003-10-11T22:14:15.003Z host app 123 ID47 [sdid key="value"] message
    <34>Oct 11 22:14:15 host app[123]: message          and its relatives: see `syslog_bsd`

Option `year`: the year of times that name none; without it the latest year that is not after the received time by
more than a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.finish import Block, BlockFormat, Extracted
from nw_platform.parsing.groups import Mask, as_extra, blank_to_null, match_groups, scatter
from nw_platform.parsing.syslog_bsd import read_lines
from nw_platform.parsing.text_times import year_option
from nw_platform.parsing.times import parse_iso

__all__ = ["COLUMNS", "RULES_VERSION", "SyslogFormat"]

RULES_VERSION: Final = 3

COLUMNS: Final = {
    "facility": pa.string(),
    "priority": pa.int32(),
    "msgid": pa.string(),
    "structured_data": pa.string(),
}

# RFC 5424, table 1, by their usual names; and table 2.
_FACILITIES: Final = pa.array(
    [
        "kern",
        "user",
        "mail",
        "daemon",
        "auth",
        "syslog",
        "lpr",
        "news",
        "uucp",
        "cron",
        "authpriv",
        "ftp",
        "ntp",
        "audit",
        "alert",
        "clock",
        "local0",
        "local1",
        "local2",
        "local3",
        "local4",
        "local5",
        "local6",
        "local7",
    ]
)
_SEVERITIES: Final = pa.array(["EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"])
_HIGHEST_PRIORITY: Final = 191

_ISO: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:[.,]\d{1,12})?(?:Z|[+-]\d{2}:?\d{2})?"

# Which rows are RFC 5424: nothing else has the version and a time after the priority.
_IS_5424: Final = r"^(?:<\d{1,3}>)?[1-9]\d{0,2} (?:-|\d{4}-\d{2}-\d{2}T)"
_5424: Final = (
    r"(?s)^(?:<(?P<priority>\d{1,3})>)?[1-9]\d{0,2} (?P<time>\S+) "
    r"(?P<host>\S+) (?P<process>\S+) (?P<procid>\S+) (?P<msgid>\S+) "
    r'(?P<data>-|(?:\[[^ =\]"]+(?: [^ =\]"]+="(?:[^"\\\]]|\\.)*")*\])+)'
    "(?: (?:\ufeff)?(?P<message>.*))?$"
)
_5424_TIME: Final = rf"^(?:<\d{{1,3}}>)?[1-9]\d{{0,2}} (?P<time>{_ISO})(?: |$)"


@dataclass(slots=True)
class _Parts:
    """What a syslog line consists of; strings, null where missing. `time` is read already."""

    time: pa.Array
    found: Mask
    columns: dict[str, pa.Array]


_TEXTS: Final = ("priority", "host", "process", "procid", "msgid", "data", "message", "sequence")


class SyslogFormat(BlockFormat):
    """Fills host, process, pid, severity and message. A process id that is no number goes to extra as `procid`."""

    def __init__(self, options: ParseOptions) -> None:
        super().__init__(options, COLUMNS)
        self._year = year_option(options)

    def extract(self, block: Block) -> Extracted:
        """Tell the two kinds of lines apart, take each apart by its own expression, and put them together."""
        modern = pc.match_substring_regex(block.text, _IS_5424).to_numpy(zero_copy_only=False)
        if modern.all():
            parts = self._rfc5424(block.text)
        elif not modern.any():
            parts = self._rfc3164(block.text, block.received)
        else:
            parts = _merge(
                modern,
                self._rfc5424(block.text.filter(pa.array(modern))),
                self._rfc3164(block.text.filter(pa.array(~modern)), block.received.filter(pa.array(~modern))),
            )
        return _extracted(parts)

    def _rfc5424(self, text: pa.Array) -> _Parts:
        groups, found = match_groups(text, _5424)
        time = groups.pop("time")
        if not found.all():
            rest, _ = match_groups(text.filter(pa.array(~found)), _5424_TIME)
            time = scatter(rest["time"], ~found, time)
        columns = {name: _dash_to_null(values) for name, values in groups.items() if name != "message"}
        columns |= {"message": blank_to_null(groups["message"]), "sequence": pa.nulls(len(text), pa.string())}
        return _Parts(parse_iso(time, self._zone), found, columns)

    def _rfc3164(self, text: pa.Array, received: pa.Array) -> _Parts:
        times, found, columns = read_lines(text, received, zone=self._zone, year=self._year)
        missing = pa.nulls(len(text), pa.string())
        return _Parts(times, found, columns | {"msgid": missing, "data": missing})


def _merge(modern: Mask, one: _Parts, other: _Parts) -> _Parts:
    """Rows of `one` where `modern`, rows of `other` elsewhere, each in their order."""
    place = np.where(modern, np.cumsum(modern) - 1, len(one.found) + np.cumsum(~modern) - 1)
    order = pa.array(place)
    columns = {name: pa.concat_arrays([one.columns[name], other.columns[name]]).take(order) for name in _TEXTS}
    time = pa.concat_arrays([one.time, other.time]).take(order)
    return _Parts(time, np.concatenate((one.found, other.found))[place], columns)


def _extracted(parts: _Parts) -> Extracted:
    """Priority into facility and severity, process id into pid."""
    given = parts.columns
    priority = given["priority"].cast(pa.int32())
    absurd = pc.fill_null(pc.greater(priority, _HIGHEST_PRIORITY), fill_value=False).to_numpy(zero_copy_only=False)
    bad = absurd | ~parts.found
    priority = pc.if_else(pa.array(absurd), pa.scalar(None, pa.int32()), priority)
    facility = pc.shift_right(priority, 3)
    severity = pc.bit_wise_and(priority, 7)
    is_pid = pc.match_substring_regex(given["procid"], r"^\d{1,9}$")
    columns = {
        "priority": priority,
        "facility": _FACILITIES.take(facility),
        "severity": _SEVERITIES.take(severity),
        "host": given["host"],
        "process": given["process"],
        "pid": pc.if_else(is_pid, given["procid"], pa.scalar(None, pa.string())),
        "msgid": given["msgid"],
        "structured_data": given["data"],
        "message": given["message"],
    }
    procid = pc.if_else(is_pid, pa.scalar(None, pa.string()), given["procid"])
    left = {"procid": procid, "sequence_number": given["sequence"]}
    said = {name: values for name, values in left.items() if values.null_count < len(values)}
    return Extracted(parts.time, bad if bad.any() else None, columns=columns, extra=as_extra(said))


def _dash_to_null(values: pa.Array) -> pa.Array:
    """`values` with null for `-` (RFC 5424's NILVALUE) and for what took no part in the match."""
    return pc.if_else(pc.or_(pc.equal(values, "-"), pc.equal(values, "")), pa.scalar(None, pa.string()), values)
