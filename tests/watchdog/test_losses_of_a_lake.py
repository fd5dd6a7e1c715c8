"""What was sent and is not there: numbers of sessions, and what ledgers say, over a real lake."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from nw_platform.watchdog.observe import TickState
from tests.watchdog.simulated import DAY, MINUTE, Platform, at


class Sender:
    """Numbers its records, as an emitter does."""

    def __init__(self, platform: Platform, session: str = "s1", host: str = "web-01") -> None:
        self._platform, self.session, self.host = platform, session, host
        self._files = 0

    def line(self, seq: int, time: int, **more: object) -> bytes:
        record = {
            "v": 1, "id": f"{self.session}-{seq}", "ts": time // 1000, "host": self.host, "process": "app",
            "session": self.session, "seq": seq, "type": "payment", "message": "m",
        }  # fmt: skip
        return json.dumps(record | more).encode() + b"\n"

    def send(self, lines: Iterable[bytes], now: int) -> None:
        self._files += 1
        (self._platform.landing / f"{self.session}-{self._files}.log").write_bytes(b"".join(lines))
        self._platform.tick(now)

    def minutes(self, first: int, last: int, begin: str = "05:00") -> list[bytes]:
        """A record a minute: number n at minute n."""
        return [self.line(n, at(begin) + n * MINUTE) for n in range(first, last)]


@pytest.fixture
def site(make):
    return make({"app": {"path": "in/*.log", "history": {"from": "2026-10-01"}}})


def losses(platform: Platform, now: int, **options) -> dict[tuple[str | None, str], str]:
    """(hour, subject) of the findings of `loss` that failed -> message."""
    platform.tick_state = TickState(ingested_until=now)
    found = [f for f in platform.look(now, **options) if f.check == "loss" and not f.passed]
    for finding in found:
        assert finding.severity == "error"
        assert finding.repair in finding.message
        assert finding.since is not None
    return {(f.partition, f.subject): f.message for f in found}


def test_missing_numbers_are_named_once_the_hour_is_over_and_found_again_when_they_come(site):
    sender = Sender(site)
    sender.send(sender.minutes(0, 20), at("05:21"))
    sender.send(sender.minutes(25, 58), at("06:01"))
    assert losses(site, at("06:02")) == {}
    sender.send(sender.minutes(58, 70), at("06:11"))
    [(place, message)] = losses(site, at("06:11")).items()
    assert place == (f"{DAY}T05", "sequence")
    assert (
        "5 numbers are missing among 55 records of 1 sessions: 20 to 24 of session s1 (host web-01, process app, "
        in message
    )
    assert "between 2026-11-22T05:19:00Z and 2026-11-22T05:25:00Z)" in message
    assert losses(site, at("06:12")).keys() == {place}
    site.watch = site.new_watch()
    assert losses(site, at("06:13")).keys() == {place}
    assert losses(site, at("06:14"), from_scratch=True).keys() == {place}
    sender.send(sender.minutes(20, 25), at("06:20"))
    assert losses(site, at("06:21")) == {}
    assert losses(site, at("06:22"), from_scratch=True) == {}


def test_a_whole_hour_of_a_session_is_missed_and_comes_back(site):
    sender, other = Sender(site), Sender(site, "s2", "web-02")
    sender.send(sender.minutes(0, 60), at("06:01"))
    other.send(other.minutes(0, 190), at("08:11"))
    assert losses(site, at("08:11")) == {}
    sender.send(sender.minutes(180, 240), at("09:11"))
    [(place, message)] = losses(site, at("09:11")).items()
    assert place == (f"{DAY}T08", "sequence")
    assert "60 to 179 of session s1" in message
    assert losses(site, at("09:12"), from_scratch=True).keys() == {place}
    site.look(at("09:13"))
    sender.send(sender.minutes(60, 180), at("09:20"))
    assert losses(site, at("09:21")) == {}


def test_records_of_another_time_are_not_missing(site):
    """Records that tell of yesterday and the day before are numbered among those of now."""
    sender = Sender(site)
    lines = sender.minutes(0, 60)
    lines[10] = sender.line(10, at("2026-11-21 02:00"))
    lines[20] = sender.line(20, at("2026-11-20 22:00"))
    lines[59], lines[58] = sender.line(59, at("05:58")), sender.line(58, at("06:00"))
    sender.send(lines, at("06:05"))
    assert losses(site, at("06:15")) == {}
    assert losses(site, at("06:16"), from_scratch=True) == {}
    sender.send([sender.line(62, at("06:10"))], at("06:20"))
    assert losses(site, at("07:15")).keys() == {(f"{DAY}T06", "sequence")}


def test_numbers_that_were_dropped_as_duplicates_are_there(site):
    """The application gave the same id twice: the second record was dropped, its number was seen."""
    sender = Sender(site)
    lines = [sender.line(n, at("05:00") + (n // 2) * MINUTE, id=f"own-{n // 2}") for n in range(20)]
    sender.send(lines, at("05:30"))
    sender.send([sender.line(20, at("06:00"), id="own-20")], at("06:05"))
    assert losses(site, at("06:15")) == {}


def test_what_a_ledger_tells_of_and_is_not_there_is_named_by_host_and_minute(site):
    sender = Sender(site)
    lines = sender.minutes(0, 10)
    for n in range(10):
        minute = (at("05:00") + n * MINUTE) // 1000
        counts = [{"type": "payment", "series": "normal", "spilled": False, "lines": 1 + (n == 3) * 4}]
        fields = {"minute": minute, "counts": counts}
        lines.append(sender.line(10 + n, at("05:01") + n * MINUTE, type="nw.ledger", series="watchdog", fields=fields))
    sender.send(lines, at("05:30"))
    [(place, message)] = losses(site, at("06:15")).items()
    assert place == (f"{DAY}T05", "ledger")
    assert (
        "4 of 14 records that senders say they sent are not there: 4 of 5 payment of host web-01, process app, "
        in message
    )
    assert "minute 2026-11-22T05:03:00Z" in message
    late = [sender.line(30 + n, at("05:03") + n * 1000) for n in range(4)]
    sender.send([*[sender.line(20 + n, at("05:20")) for n in range(10)], *late], at("06:20"))
    assert losses(site, at("06:21")) == {}


def test_a_record_that_was_sent_twice_does_not_stand_for_one_that_is_lost(site):
    sender = Sender(site)
    counts = [{"type": "payment", "series": "normal", "spilled": False, "lines": 3}]
    fields = {"minute": at("05:00") // 1000, "counts": counts}
    lines = [sender.line(n, at("05:00")) for n in (0, 1)]
    ledger = sender.line(3, at("05:01"), type="nw.ledger", series="watchdog", fields=fields)
    sender.send([*lines, lines[1], lines[1], ledger], at("05:30"))
    found = losses(site, at("06:15"))
    assert found.keys() == {(f"{DAY}T05", "ledger"), (f"{DAY}T05", "sequence")}
    assert "1 of 3 records that senders say they sent are not there" in found[f"{DAY}T05", "ledger"]


def test_streams_without_numbers_and_first_records_of_a_session_say_nothing(make):
    platform = make({"web": {"path": "in/a*.log"}, "app": {"path": "in/s*.log"}})
    platform.land("a.log", [at("05:00") + n * MINUTE for n in range(30)])
    sender = Sender(platform)
    sender.send(sender.minutes(1000, 1030, begin="2026-11-21 12:20"), at("06:00"))
    platform.tick_state = TickState(ingested_until=at("06:15"))
    found = [f for f in platform.look(at("06:15")) if f.check == "loss"]
    assert [(f.stream, f.partition, f.passed) for f in found] == [("app", f"{DAY}T05", True)]
