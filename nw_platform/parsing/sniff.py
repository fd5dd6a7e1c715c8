"""The best guess at a format, from the first bytes of a stream.

Each candidate parses the sample with the real framer and parser. A format is taken only if it reads four of five
records whole, its time included; the strictest format is asked first. Where none does, the stream is `lines`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.csv import header_names
from nw_platform.parsing.layouts import candidate_layouts
from nw_platform.parsing.log4j_layout import DEFAULT_LAYOUT, compile_layout
from nw_platform.parsing.trial import Trial, try_parse
from nw_platform.parsing.units import LONGEST_MARK, from_start, units_of
from nw_platform.record.envelope import SEVERITIES

__all__ = ["ENOUGH", "Recognition", "recognise", "sniff"]

SAMPLE_BYTES: Final = 256 << 10
SAMPLE_LINES: Final = 500
ENOUGH_LINES: Final = 2  # so that an unterminated line behind them is not needed
ENOUGH: Final = 0.8  # of the sample's records have to be read whole

_DELIMITERS: Final = (",", "\t", ";", "|")
_COLUMN_NAME: Final = re.compile(r"[^\W\d][\w .@/()#%:-]*\Z")
_KNOWN_LEVELS: Final = pa.array(sorted(set(SEVERITIES.values())))
_LEVEL_WORDS: Final = pa.array(sorted(SEVERITIES))
# Lines that continue no other: a JSON object, a syslog priority, or a time at the beginning.
_BEGINS_RECORD: Final = re.compile(
    r"\{\s*\"|<\d{1,3}>|\[?\d{4}[-/.]\d\d[-/.]\d\d[ T]\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |"
    r"\S+ \S+ \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}:"
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A format that does not read enough of a sample."""

    format: str
    good: int  # records that it reads whole
    records: int
    reason: str | None  # the most frequent reason of the others; None: they parse, but do not look like its records


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was made of a sample. `refused` holds, where that is `lines`, the formats that understand some of it."""

    format: str
    options: Mapping[str, Any] = field(default_factory=dict)  # the format's own
    refused: tuple[Refused, ...] = ()

    def reason(self) -> str:
        """Say in one line why the stream is `lines`; empty for any other format."""
        if self.format != "lines":
            return ""
        told = "no format reads four of five of its first lines"
        if not self.refused:
            return told
        best = max(self.refused, key=lambda refused: refused.good / refused.records)
        why = f" (most others: {best.reason})" if best.reason else ""
        return f"{told}; {best.format} reads {best.good} of {best.records}{why}"


def sniff(sample: bytes, declared: ParseOptions | None = None) -> tuple[str, dict[str, Any]]:
    """Guess the format of a stream from its beginning, unpacked; a few hundred lines are enough.

    Returns:
        The name of a format and the options it needs: log4j's `layout` where it is not the default, csv's `delimiter`
        and `names`. `("lines", {})` where nothing fits, also for an empty or a binary sample.
    """
    found = recognise(sample, declared)
    return found.format, dict(found.options)


def recognise(sample: bytes, declared: ParseOptions | None = None) -> Recognition:
    """Guess the format of a stream from its beginning, unpacked.

    `declared` holds what is declared of the stream beside its format (encoding, event_time, columns ...): the
    candidates have to read the sample as it says.
    """
    base = declared or ParseOptions(stream="sample", format="auto")
    if base.message_format is not None:
        return Recognition("json")  # only its records have a message
    text = _beginning(sample, base.encoding)
    lines = text.split("\n")[:-1]
    if not any(line.strip() for line in lines):
        return Recognition("lines")
    return _Recogniser(replace(base, encoding="utf-8"), text.encode(errors="replace"), lines).recognise()


class _Recogniser:
    """One sample on its way through the candidates. `tried` holds how far those came that were refused."""

    def __init__(self, base: ParseOptions, text: bytes, lines: Sequence[str]) -> None:
        self._base = base
        self._text = text
        self._lines = [line.removesuffix("\r") for line in lines]
        self._tried: dict[str, Refused] = {}

    def recognise(self) -> Recognition:
        """Return the first candidate that reads enough."""
        for name, options in self._candidates():
            if self._reads_enough(name, options):
                return Recognition(name, options)
        refused = tuple(
            tried for tried in self._tried.values() if tried.good or tried.reason not in (None, "bad_format")
        )
        return Recognition("lines", refused=refused)

    def _candidates(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield formats and their options, the strictest first."""
        if any(line.lstrip().startswith("{") for line in self._lines):
            yield "json", {}
        if any("[" in line and '"' in line for line in self._lines):
            yield "combined", {}
        for layout in self._layouts():
            yield "log4j", {} if layout == DEFAULT_LAYOUT else {"layout": layout}
        yield "syslog", {}
        yield from self._tables()

    def _layouts(self) -> Iterator[str]:
        """Yield the log4j layouts that match most of the lines that begin as they say."""
        for layout in candidate_layouts(self._lines):
            compiled = compile_layout(layout)
            start = re.compile(compiled.start)
            first_lines = [line for line in self._lines if start.match(line)]
            matches = pc.match_substring_regex(pa.array(first_lines, pa.string()), compiled.pattern)
            if first_lines and _is_enough(int(pc.sum(matches).as_py() or 0), len(first_lines)):
                yield layout

    def _tables(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield csv with each delimiter by which the first line looks like names."""
        header = self._lines[0]
        for delimiter in _DELIMITERS:
            options = {"delimiter": delimiter}
            names = header_names(header, replace(self._base, format="csv", options=options))
            if len(names) > 1 and _are_names(names, header, delimiter):
                yield "csv", ({} if delimiter == "," else options) | {"names": names}

    def _reads_enough(self, name: str, own: Mapping[str, Any]) -> bool:
        """Return True if four of five records parse whole and look like what the format is for. Notes the count."""
        options = replace(self._base, format=name, options={**self._base.options, **own})
        trial = try_parse(options, self._text)
        if trial is None:
            return False
        good, count = _looks_right(name, trial)
        if name not in self._tried or good > self._tried[name].good:
            self._tried[name] = Refused(name, good, count, trial.main_reason)
        return _is_enough(good, count)


def _looks_right(name: str, trial: Trial) -> tuple[int, int]:
    """(records that parse whole and look like what the format is for, records)."""
    good: Any = trial.is_good
    parsed = trial.parsed
    strangers = 0
    if name == "log4j":
        good = pc.and_(good, pc.is_in(parsed.column("severity"), _KNOWN_LEVELS))
        strangers = _strangers(trial.values)
    if name == "syslog":
        named = pc.or_(parsed.column("process").is_valid(), parsed.column("priority").is_valid())
        is_level = pc.is_in(pc.utf8_upper(parsed.column("host")), _LEVEL_WORDS)
        good = pc.and_(pc.and_(good, named), pc.invert(is_level))
    return int(pc.sum(good).as_py() or 0), trial.records + strangers


def _strangers(records: pa.Array) -> int:
    """Count the lines that were joined to a record, as stack traces are, though they begin one of another kind."""
    texts = (value.decode("utf-8", "replace") for value in records.to_pylist())
    joined = (line for text in texts for line in text.split("\n")[1:])
    return sum(1 for line in joined if _BEGINS_RECORD.match(line))


def _beginning(sample: bytes, encoding: str) -> str:
    """The first lines of a sample; without the last one if that is unterminated and there are others enough."""
    units = units_of(encoding) or from_start(encoding, sample[:LONGEST_MARK])
    text = sample[:SAMPLE_BYTES].decode(units.encoding, "replace").removeprefix("\ufeff").lstrip("\0")
    lines = text.split("\n")
    last = lines.pop()
    if last and len(lines) < ENOUGH_LINES:
        lines.append(last)
    kept = lines[:SAMPLE_LINES]
    return "".join(f"{line}\n" for line in kept)


def _is_enough(good: int, count: int) -> bool:
    return good >= ENOUGH * count and good > 0


def _are_names(names: list[str], header: str, delimiter: str) -> bool:
    """Return True if a first line can be the names of columns: words, all different, none missing."""
    given: Iterator[str] = (field.strip().strip('"').strip() for field in header.split(delimiter))
    return list(given) == names and all(_COLUMN_NAME.match(name) for name in names)
