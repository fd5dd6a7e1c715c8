"""A log4j, log4j2 or logback PatternLayout as a regular expression for RE2.

Only what a layout can say is in here; nothing looks at records. Sources: the conversion patterns of log4j 1.2
`PatternLayout`, log4j2 `PatternLayout` and logback `PatternLayout`, and the letters of Java's `SimpleDateFormat`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from nw_platform.errors import ConfigError

DEFAULT_LAYOUT: Final = "[%d{ISO8601}] %p %m (%c)%n"

# A conversion word -> what it stands for. Words that share a meaning share a name.
_MEANINGS: Final = {
    "d": "date", "date": "date",
    "p": "level", "level": "level", "le": "level",
    "c": "logger", "logger": "logger", "lo": "logger",
    "t": "thread", "tn": "thread", "thread": "thread", "threadName": "thread",
    "m": "message", "msg": "message", "message": "message",
    "n": "newline",
    "pid": "pid", "processId": "pid",
    "C": "class", "class": "class", "M": "method", "method": "method",
    "L": "line", "line": "line", "F": "file", "file": "file",
    "l": "location", "location": "location", "caller": "location", "r": "relative", "relative": "relative",
    "x": "ndc", "NDC": "ndc", "X": "mdc", "mdc": "mdc", "MDC": "mdc",
    "marker": "marker", "markerSimpleName": "marker",
    "T": "thread_id", "tid": "thread_id", "threadId": "thread_id",
    "sn": "sequence_number", "sequenceNumber": "sequence_number",
    "ex": "throwable", "exception": "throwable", "throwable": "throwable", "xEx": "throwable",
    "xException": "throwable", "xThrowable": "throwable", "rEx": "throwable", "rException": "throwable",
    "rThrowable": "throwable", "nopex": "throwable", "nopexception": "throwable", "wEx": "throwable",
    "xwEx": "throwable",
}  # fmt: skip

# What a conversion writes, as a regular expression. All of it lies on one line but a message.
_SHAPES: Final = {
    "level": r"[A-Za-z][A-Za-z0-9_]*", "logger": r"[^\s()]+?", "pid": r"\d+", "line": r"(?:\d+|\?)",
    "relative": r"\d+", "thread_id": r"\d+", "sequence_number": r"\d+",
}  # fmt: skip
_ONE_LINE: Final = r"[^\n]*?"
# What stands between two brackets: brackets in it come in pairs, so that it never runs over the end of a field.
_IN_BRACKETS: Final = r"(?:[^\n\[\]]|\[(?:[^\n\[\]]|\[[^\n\[\]]*\])*\])*?"
_IN_PARENTHESES: Final = r"(?:[^\n()]|\((?:[^\n()]|\([^\n()]*\))*\))*?"
_ID_KEY: Final = re.compile(r".*(?:trace|span)[-_]?id", re.IGNORECASE)
_ID: Final = r"[^\s\[\],]*?"

# Spring Boot writes fields of its own into its layout, each in brackets and only where it has a value: since version 3
# application and group before the thread, and ids of trace and span behind it; Sleuth all of them before the process.
# Fields before the thread are taken only where the line does not fit without them.
_BOOT: Final = re.compile(
    r"(?P<level>%-?\d*(?:p|level) )(?P<pid>%-?\d*(?:pid|processId)|\$\{PID[^}]*\}) --- "
    r"(?:\[%X\{application\}\] )?\[%[-0-9.]*(?:t|tn|thread|threadName)\] "
)
_BOOT_WITH_ALL: Final = (
    r"\g<level>%sleuthApplication%sleuthIds\g<pid> --- %bootApplication%bootIds%bootGroup[%15.15t] %bootCorrelation"
)
_IDS: Final = r"(?:[0-9A-Fa-f]{16,32}[-,][0-9A-Fa-f]{16}|[^\s\[\],]*(?:,[^\s\[\],]*){2,3})?"
# Conversion words that stand in no layout but that one -> name, what is before, the value, what is behind.
_OPTIONAL: Final = {
    "sleuthApplication": ("application", r"(?:\[", r"[^\s\[\],]*", ""),
    "sleuthIds": ("trace_ids", ",", r"[^\s\[\]]*", r"\] )?"),
    "bootApplication": ("application", r"(?:\[", r"[^\[\]\n,]*?", ""),
    "bootIds": ("trace_ids", "(?:,", r"[^\s\[\]]*", r")?\] "),
    "bootGroup": ("application_group", r"(?:\[", r"[^\[\]\n]*?", r"\] )??)??"),
    "bootCorrelation": ("trace_ids", r"(?:\[ *", _IDS, r" *\] )?"),
}

_DATE_NAMES: Final = {
    "": "yyyy-MM-dd HH:mm:ss,SSS",
    "DEFAULT": "yyyy-MM-dd HH:mm:ss,SSS",
    "DEFAULT_MICROS": "yyyy-MM-dd HH:mm:ss,SSSSSS",
    "DEFAULT_NANOS": "yyyy-MM-dd HH:mm:ss,SSSSSSSSS",
    "DEFAULT_PERIOD": "yyyy-MM-dd HH:mm:ss.SSS",
    "ISO8601": "yyyy-MM-dd HH:mm:ss,SSS",
    "DATE": "dd MMM yyyy HH:mm:ss,SSS",
    "DATE_PERIOD": "dd MMM yyyy HH:mm:ss.SSS",
    "ISO8601_PERIOD": "yyyy-MM-dd'T'HH:mm:ss.SSS",
    "ISO8601_PERIOD_MICROS": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
    "ISO8601_BASIC": "yyyyMMdd'T'HHmmss,SSS",
    "ISO8601_BASIC_PERIOD": "yyyyMMdd'T'HHmmss.SSS",
    "ISO8601_OFFSET_DATE_TIME_HH": "yyyy-MM-dd'T'HH:mm:ss,SSSX",
    "ISO8601_OFFSET_DATE_TIME_HHMM": "yyyy-MM-dd'T'HH:mm:ss,SSSZ",
    "ISO8601_OFFSET_DATE_TIME_HHCMM": "yyyy-MM-dd'T'HH:mm:ss,SSSXXX",
    "COMPACT": "yyyyMMddHHmmssSSS",
}

# A run of one letter in a date pattern -> (regular expression, strptime directive).
_DATE_FIELDS: Final = {
    "yyyy": (r"\d{4}", "%Y"), "uuuu": (r"\d{4}", "%Y"), "y": (r"\d{4}", "%Y"), "yy": (r"\d{2}", "%y"),
    "MM": (r"\d{2}", "%m"), "M": (r"\d{1,2}", "%m"), "MMM": (r"[A-Za-z]{3}", "%b"), "MMMM": (r"[A-Za-z]+", "%B"),
    "dd": (r"\d{2}", "%d"), "d": (r"\d{1,2}", "%d"), "DDD": (r"\d{3}", "%j"),
    "HH": (r"\d{2}", "%H"), "H": (r"\d{1,2}", "%H"), "hh": (r"\d{2}", "%I"), "h": (r"\d{1,2}", "%I"),
    "mm": (r"\d{2}", "%M"), "m": (r"\d{1,2}", "%M"), "ss": (r"\d{2}", "%S"), "s": (r"\d{1,2}", "%S"),
    "a": (r"[AaPp][Mm]", "%p"), "EEE": (r"[A-Za-z]{3}", "%a"), "E": (r"[A-Za-z]{3}", "%a"),
    "EEEE": (r"[A-Za-z]+", "%A"),
    "Z": (r"[+-]\d{4}", "%z"), "X": (r"(?:Z|[+-]\d{2})", "%z"), "XX": (r"(?:Z|[+-]\d{4})", "%z"),
    "XXX": (r"(?:Z|[+-]\d{2}:\d{2})", "%z"), "ZZZZZ": (r"(?:Z|[+-]\d{2}:\d{2})", "%z"),
    "x": (r"[+-]\d{2}", "%z"), "xx": (r"[+-]\d{4}", "%z"), "xxx": (r"[+-]\d{2}:\d{2}", "%z"),
}  # fmt: skip

_TOKEN: Final = re.compile(
    r"%%|%(-?\d*(?:\.-?\d+)?)([A-Za-z]+)|\$\{(?:[a-z]+:)?([A-Za-z_.]+)(?::-?[^{}]*)?\}|\\[nt]|(.)", re.DOTALL
)
_ARGUMENTS: Final = re.compile(r"(?:\{[^{}]*\})*")
_DATE_TOKEN: Final = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", re.DOTALL)
_FRACTION_DIGITS: Final = 9
_MICRO_DIGITS: Final = 6  # what %f reads
# Milliseconds, micro- or nanoseconds, and an offset where one is written; without a fraction only with an offset.
_ISO_OFFSET: Final = r"(?:Z|[+-]\d{2}:?\d{2})"
_ISO: Final = (
    rf"\d{{4}}-\d{{2}}-\d{{2}}[ T]\d{{2}}:\d{{2}}:\d{{2}}(?:[,.]\d{{3}}(?:\d{{3}}){{0,2}}{_ISO_OFFSET}?|{_ISO_OFFSET})"
)


@dataclass(frozen=True, slots=True)
class DatePattern:
    """A time in a layout.

    `layout` is a strptime layout; without one the text is a count of `unit` since 1970, or, where that is None too,
    ISO 8601 with a space or a T and a comma or a dot. `zone` is an IANA name, if the layout states one.
    """

    regex: str
    layout: str | None = None
    unit: Literal["s", "ms"] | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class CompiledLayout:
    """A layout made ready.

    `pattern` matches a whole record (its first line and what was joined to it); its named groups are the keys of
    `names`, each with what it stands for: time, level, logger, thread, message, trace, pid, or a key of its own. Two
    groups that stand for the same are never both filled.
    `time_pattern` matches only the beginning up to and including the time, with the one group `time`. `start` is what
    the first line of a record begins with, for Python's `re` and RE2 alike, text or bytes.
    """

    pattern: str
    time_pattern: str
    start: str
    names: Mapping[str, str]
    date: DatePattern


def compile_layout(layout: str = DEFAULT_LAYOUT) -> CompiledLayout:
    """Compile a PatternLayout.

    Raises:
        ConfigError: the layout has no time with a date, has no message, or holds a conversion that is not known.
    """
    pieces = _in_brackets(_read(_BOOT.sub(_BOOT_WITH_ALL, layout)))
    meanings = [piece.meaning for piece in pieces]
    for needed, hint in (("date", "%d{ISO8601}"), ("message", "%m")):
        if needed not in meanings:
            raise ConfigError(f"layout {layout!r} has no {needed}; add {hint}")
    at_date, at_message = meanings.index("date"), meanings.index("message")
    last = all(meaning in ("newline", "throwable") for meaning in meanings[at_message + 1 :])
    names: dict[str, str] = {}
    pattern, time_pattern, start = "^", "", "^"
    for index, piece in enumerate(pieces):
        name = "time" if piece.meaning == "date" else piece.meaning
        shape = piece.regex
        if piece.meaning == "message":
            shape = "(?s:.*)" if last else "(?s:.*?)"
        if index <= at_date:
            time_pattern += f"(?P<time>{shape})" if index == at_date else f"{piece.before}{shape}{piece.after}"
            start += f"{piece.before}{shape}{piece.after}"
        if name is None or (name in names.values() and not piece.is_optional):
            pattern += f"{piece.before}{shape}{piece.after}"
        elif name not in ("newline", "throwable"):
            group = f"g{index}"
            names[group] = name
            pattern += f"{piece.before}(?P<{group}>{shape}){piece.after}"
        elif name == "newline" and not all(m in ("newline", "throwable") for m in meanings[index:]):
            pattern += r"\r?\n"
    if last:
        pattern += r"\z"
    else:
        names["trace"] = "trace"
        pattern += r"[ \t]*(?:\r?\n(?P<trace>(?s:.*)))?\z"
    return CompiledLayout(pattern, f"^{time_pattern}", start, names, pieces[at_date].date or DatePattern(""))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A conversion, or literal text (`meaning` None). `before` and `after` match its padding."""

    meaning: str | None
    regex: str
    before: str = ""
    after: str = ""
    date: DatePattern | None = None
    is_optional: bool = False  # others may stand for the same


def _read(layout: str) -> list[_Piece]:
    """Cut a layout into its pieces, in order."""
    pieces: list[_Piece] = []
    position = 0
    while position < len(layout):
        token = _TOKEN.match(layout, position)
        if token is None:  # not possible: the last alternative takes any character
            break
        width, letters, lookup, literal = token.groups()
        position = token.end()
        if letters is not None:
            if letters in _OPTIONAL:
                name, before, shape, after = _OPTIONAL[letters]
                pieces.append(_Piece(name, shape, before, after, is_optional=True))
                continue
            word = next((letters[:size] for size in range(len(letters), 0, -1) if letters[:size] in _MEANINGS), None)
            if word is None:
                raise ConfigError(
                    f"layout {layout!r}: the conversion %{letters} is not known; known are"
                    f" {', '.join('%' + known for known in _MEANINGS)}"
                )
            position -= len(letters) - len(word)
            arguments = _ARGUMENTS.match(layout, position)
            found = re.findall(r"\{([^{}]*)\}", arguments.group(0)) if arguments else []
            position = arguments.end() if arguments else position
            pieces.append(_conversion(_MEANINGS[word], found, width, layout))
        elif lookup is not None:
            if lookup.upper() != "PID":
                raise ConfigError(f"layout {layout!r}: write out the value of {token.group(0)}")
            pieces.append(_Piece("pid", _SHAPES["pid"]))
        elif token.group(0) in (r"\n", r"\t"):
            pieces.append(_Piece("newline", "") if token.group(0) == r"\n" else _Piece(None, r"\t"))
        elif literal == "%":
            raise ConfigError(f"layout {layout!r}: a lone % at {token.start()}; write %% for a percent sign")
        else:
            pieces.append(_Piece(None, re.escape(literal or "%")))
    return pieces


def _in_brackets(pieces: list[_Piece]) -> list[_Piece]:
    """Return the pieces, with those that stand between brackets as what never runs over the closing one."""
    found = list(pieces)
    for index in range(1, len(pieces) - 1):
        around = pieces[index - 1].regex, pieces[index + 1].regex
        if pieces[index].regex != _ONE_LINE or pieces[index].meaning == "message":
            continue
        if around == (r"\[", r"\]"):
            found[index] = replace(pieces[index], regex=_IN_BRACKETS)
        elif around == (r"\(", r"\)"):
            found[index] = replace(pieces[index], regex=_IN_PARENTHESES)
    return found


def _conversion(meaning: str, arguments: list[str], width: str, layout: str) -> _Piece:
    before = after = ""
    size = width.partition(".")[0]
    if size.startswith("-"):
        after = " *"
    elif size:
        before = " *"
    if meaning == "date":
        date = _date(arguments, layout)
        return _Piece("date", date.regex, before, after, date)
    if meaning == "mdc" and arguments and "," not in arguments[0]:
        meaning = arguments[0].partition(":-")[0]
        return _Piece(meaning, _ID if _ID_KEY.fullmatch(meaning) else _ONE_LINE, before, after)
    return _Piece(meaning, _SHAPES.get(meaning, _ONE_LINE), before, after)


def _date(arguments: list[str], layout: str) -> DatePattern:
    """The time of `%d{...}{zone}`."""
    argument = arguments[0] if arguments else ""
    zone = arguments[1] if len(arguments) > 1 else None
    if argument in ("UNIX", "UNIX_MILLIS"):
        return DatePattern(r"\d{1,18}", unit="s" if argument == "UNIX" else "ms")
    if argument in ("", "DEFAULT", "ISO8601"):  # log4j writes a space here and log4j2 a T: both are taken
        return DatePattern(_ISO, zone=zone)
    pattern = _DATE_NAMES.get(argument, argument)
    regex, strptime, letters = "", "", set[str]()
    for match in _DATE_TOKEN.finditer(pattern):
        token = match.group(0)
        if token[0] in "Sn" and len(token) <= _FRACTION_DIGITS:
            directive = "%f" if len(token) <= _MICRO_DIGITS else "%n"
            regex, strptime = rf"{regex}\d{{{len(token)}}}", strptime + directive
        elif token in _DATE_FIELDS:
            regex, strptime = regex + _DATE_FIELDS[token][0], strptime + _DATE_FIELDS[token][1]
            letters.add(token[0])
        elif token[0].isascii() and token[0].isalpha():
            raise ConfigError(
                f"layout {layout!r}: the date pattern {pattern!r} holds {token!r}, which is not known; known are"
                f" {', '.join(sorted(_DATE_FIELDS))} and S"
            )
        else:
            literal = token[1:-1].replace("''", "'") or "'" if len(token) > 1 else token
            regex, strptime = regex + re.escape(literal), strptime + literal.replace("%", "%%")
    if not ({"M", "d"} <= letters or {"y", "D"} <= letters):
        raise ConfigError(
            f"layout {layout!r}: the time {pattern!r} has no date, so nobody can tell the day of a record;"
            " log with %d{ISO8601}"
        )
    return DatePattern(regex, layout=strptime, zone=zone)
