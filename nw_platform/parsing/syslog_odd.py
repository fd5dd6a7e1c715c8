"""The lines of syslog that follow RFC 3164 in spirit only: without host or tag, with years, zones and Cisco's marks.

    Oct 11 22:14:15 su: no host                          Oct 11 22:14:15 web-01 last message repeated 3 times
    <34>Oct 11 22:14:15 EST host su: a zone              <34>Oct 11 2003 22:14:15 host su: a year
    <189>45: *Oct 11 22:14:15.003 UTC: %SYS-5-CONFIG_I: Cisco: a sequence number and no host

RFC 3164 describes habits, so a word can be a host, a zone, a tag or text. It is taken for a host only where it is one
for sure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.groups import Mask, blank_to_null, match_groups, scatter
from nw_platform.parsing.zone_names import ZONE
from nw_platform.record.envelope import SEVERITIES

__all__ = ["CLOCK", "MONTH", "NO_HOST", "TIMES", "OddLines", "is_word", "read_odd"]

MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
CLOCK: Final = r"\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?"
# Characters of JSON, key=value pairs, brackets and quotes: no host has them.
NO_HOST: Final = r"""\s\[\](){}<>"'=,;|"""
TIMES: Final = ("iso", "year_first", "year_before", "day", "clock", "offset", "zone", "year_after")

_WEEKDAY: Final = "(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?"
_YEAR: Final = r"(?:19|20)\d{2}"
_OFFSET: Final = r"[Zz]| ?[+-]\d{2}(?::?\d{2})?"
_FOUR: Final = "[0-9A-Fa-f]{1,4}"
# A host does not end with a colon (that would be a tag, and the host is missing), but for an IPv6 network, and for an
# address, which is no tag. An address may be in brackets.
_HOST: Final = (
    rf"[^{NO_HOST}]*[^{NO_HOST}:]|(?:{_FOUR}:){{1,7}}:|\[(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}[0-9A-Fa-f:.]*\]"
    rf"|\d{{1,3}}(?:\.\d{{1,3}}){{3}}:|(?:{_FOUR}:){{7}}{_FOUR}:|(?:{_FOUR}:){{0,6}}:(?:{_FOUR}:){{0,6}}{_FOUR}:"
)


def _time(mark: str) -> str:
    """The pattern of everything up to the time. `mark` stands before the fraction of a second in ISO 8601."""
    iso = rf"\d{{4}}-\d{{2}}-\d{{2}}[T ]\d{{2}}:\d{{2}}:\d{{2}}(?:{mark}\d{{1,12}})?"
    return (
        rf"^(?:<(?P<priority>\d{{1,3}})>)?(?:: ?| )?(?:(?P<sequence>\d{{1,12}}): (?:(?P<origin>{_HOST}): )?)?"
        rf"[*.]?{_WEEKDAY}(?:(?P<iso>{iso})|(?:(?P<year_first>{_YEAR}) )?(?P<day>{MONTH} {{1,2}}\d{{1,2}}) "
        rf"(?:(?P<year_before>\d{{4}}) )?(?P<clock>{CLOCK})\d{{0,6}})(?:(?P<offset>{_OFFSET})| (?P<zone>{ZONE}))?"
        rf"(?: (?P<year_after>{_YEAR}) ?)?"
    )


# Behind a time with a colon (Cisco) no host follows. A tag has its process id in brackets, or a colon and a blank
# behind it, and is no number.
_LINE: Final = (
    rf"(?s){_time('[.]')}(?: ?:(?: |$)| (?P<host>{_HOST})(?: :)?(?: |$)| |$)"
    r"(?:(?P<process>[^\s:\[\]]*[^\s:\[\]\d][^\s:\[\]]*)(?:\[(?P<procid>[^\]\s]*)\](?:: ?| |$)|:(?: |$)))?"
    r"(?P<message>.*)$"
)
_BEGINNING: Final = rf"(?s){_time('[.,]')}(?: ?:| |$)"

# What other logs have where a host would be.
_WORDS: Final = pa.array(sorted({*(word.lower() for word in SEVERITIES), "stdout", "stderr"}))
_SURE_ZONE: Final = "^(?:UTC|GMT|.*[0-9/].*)$"  # names that nobody gives a host
_PERHAPS_ZONE: Final = "^(?:[A-Z]{3,5}|[A-Z]{3}[0-9][A-Z]{3}|(?i:am|pm|utc|gmt|ce[s]?t|[ecmp][sd]t))$"
_HALF_OF_DAY: Final = "^(?i:am|pm)$"
# In a line that may be of any program: a level of one letter, a number of a process or thread.
_NO_HOST_FOR_SURE: Final = r"^(?:(?i:[tdviwefc])|\d{1,7})$"
_HOST_AND_TAG: Final = r"^[^\s:\[\]]+ [^\s:\[\]]+(?:\[[^\]\s]*\](?:: ?| |$)|:(?: |$))"
_CISCO: Final = r"^%[A-Z0-9_]+-"
_OF_DAEMONS: Final = r"^(?:-- MARK --|(?:-+ )?(?:last )?message repeated )"  # what syslog daemons write without a tag

_NULL: Final = pa.scalar(None, pa.string())


@dataclass(frozen=True, slots=True)
class OddLines:
    """What lines consist of: strings, null where missing, the parts of the time (TIMES) among them."""

    parts: dict[str, pa.Array]
    found: Mask  # the others are no syslog
    unknown_zone: Mask  # the time has a zone, and nobody knows which


def read_odd(text: pa.Array) -> OddLines:
    """Take lines apart that may have any of the habits."""
    parts, found = match_groups(text, _LINE)
    if not found.all():
        rest, _ = match_groups(text.filter(pa.array(~found)), _BEGINNING)
        parts |= {name: scatter(rest[name], ~found, parts[name]) for name in TIMES}
    parts = {name: blank_to_null(values) for name, values in parts.items()}
    doubtful = _lone_zones(parts)
    host = pc.coalesce(parts["host"], parts.pop("origin"))
    host = pc.replace_substring_regex(host, "([^:]):$", r"\1")
    parts["host"] = pc.utf8_trim(pc.if_else(pc.equal(host, "-"), _NULL, host), "[]")
    _give_back_levels(parts)
    unknown_zone = _unknown_zones(parts)
    _give_back_first_words(parts)
    named = pc.or_(pc.or_(parts["host"].is_valid(), parts["process"].is_valid()), parts["message"].is_valid())
    doubtful = pc.or_(doubtful, _doubtful_hosts(parts))
    found &= _mask(pc.and_(named, pc.invert(doubtful)))
    # What is no host for sure is the host of no reject either.
    unsure = pc.or_(doubtful, unknown_zone)
    parts |= {name: pc.if_else(unsure, _NULL, parts[name]) for name in ("host", "process", "procid")}
    return OddLines(parts, found, _mask(unknown_zone))


def is_word(values: pa.Array) -> pa.Array:
    """Whether a value is the name of a level or of a standard stream; false where null."""
    return pc.is_in(pc.utf8_lower(values), value_set=_WORDS)


def _doubtful_hosts(parts: dict[str, pa.Array]) -> pa.Array:
    """The rows whose first word may be a host or something else: a level, the half of a day, a letter or number."""
    host = parts["host"]
    half_of_day = pc.and_(parts["clock"].is_valid(), _true(pc.match_substring_regex(host, _HALF_OF_DAY)))
    no_priority = pc.is_null(parts["priority"])
    bare = pc.and_(parts["iso"].is_valid(), _true(pc.match_substring_regex(host, _NO_HOST_FOR_SURE)))
    return pc.or_(half_of_day, pc.and_(no_priority, pc.or_(is_word(host), bare)))


def _lone_zones(parts: dict[str, pa.Array]) -> pa.Array:
    """The rows whose zone may be a host (`MET su: hi`): neither host and tag nor Cisco's message follow."""
    zones = parts["zone"]
    sure = _true(pc.match_substring_regex(zones, _SURE_ZONE))
    cisco = _true(pc.match_substring_regex(parts["process"], _CISCO))
    usual = pc.and_(parts["host"].is_valid(), parts["process"].is_valid())
    return pc.and_(zones.is_valid(), pc.invert(pc.or_(pc.or_(sure, cisco), usual)))


def _unknown_zones(parts: dict[str, pa.Array]) -> pa.Array:
    """The rows whose time has a zone that nobody knows.

    That is a word of three to five capitals in place of a host, with what looks like host and tag behind it, or in
    place of the tag, with Cisco's message behind it.
    """
    host, process, message = parts["host"], parts["process"], parts["message"]
    as_host = pc.and_(pc.and_(host.is_valid(), pc.is_null(process)), pc.is_null(parts["zone"]))
    as_host = pc.and_(as_host, _true(pc.match_substring_regex(host, _PERHAPS_ZONE)))
    as_host = pc.and_(as_host, _true(pc.match_substring_regex(message, _HOST_AND_TAG)))
    as_tag = pc.and_(pc.is_null(host), _true(pc.match_substring_regex(process, _PERHAPS_ZONE)))
    as_tag = pc.and_(as_tag, _true(pc.match_substring_regex(message, _CISCO)))
    return pc.or_(as_host, as_tag)


def _give_back_levels(parts: dict[str, pa.Array]) -> None:
    """Change `parts`: a tag that is the name of a level (`web-01 ERROR: disk full`) belongs to the message."""
    level = pc.and_(is_word(parts["process"]), pc.is_null(parts["procid"]))
    whole = pc.binary_join_element_wise(parts["process"], pc.fill_null(parts["message"], ""), ": ")
    parts["message"] = pc.if_else(level, whole, parts["message"])
    parts["process"] = pc.if_else(level, _NULL, parts["process"])


def _give_back_first_words(parts: dict[str, pa.Array]) -> None:
    """Change `parts`: without a host for sure, the first word belongs to the message.

    A line without a priority that begins with ISO 8601 may be of any program. Its first word is a host only if a tag
    follows, or what syslog daemons write without one. That is never a host itself (`last message repeated 3 times`).
    """
    host, message = parts["host"], parts["message"]
    whole = pc.coalesce(pc.binary_join_element_wise(host, message, " "), host)
    tagless = pc.and_(host.is_valid(), pc.is_null(parts["process"]))
    any_program = pc.and_(pc.is_null(parts["priority"]), parts["iso"].is_valid())
    kept = pc.or_(_true(pc.match_substring_regex(message, _OF_DAEMONS)), is_word(host))
    no_host = pc.or_(pc.and_(any_program, pc.invert(kept)), _true(pc.match_substring_regex(whole, _OF_DAEMONS)))
    tagless = pc.and_(tagless, no_host)
    parts["message"] = pc.if_else(tagless, whole, message)
    parts["host"] = pc.if_else(tagless, _NULL, host)


def _true(values: pa.Array) -> pa.Array:
    """A boolean array without nulls: they are false."""
    return pc.fill_null(values, fill_value=False)


def _mask(values: pa.Array) -> Mask:
    """A boolean array as a mask; null is false."""
    mask: Mask = _true(values).to_numpy(zero_copy_only=False)
    return mask
