"""What is told when: each case is a timeline of what happens, and all the messages that go out because of it.

How to read one is said in tests/alerts/story.py. Evaluations are made once a minute, from 06:00 on. Here: what is not
judged, clocks that are set, maintenance windows and routes.
"""

from __future__ import annotations

import pytest

from tests.alerts.story import TO_OPS, Timeline, ids

NOT_JUDGED = [
    Timeline(
        "an expectation is taken out of the configuration",
        """
        06:10 volume fails
        06:30 volume is gone
        """,
        "08:00",
        """
        06:10 ops: opened volume
        06:30 ops: resolved volume (withdrawn: no longer expected)
        """,
    ),
    Timeline(
        "a stream that cannot be judged for a while keeps its alerts",
        """
        06:10 volume fails
        06:30 volume is gone
        06:30 stream web is not judged
        07:30 volume fails
        07:30 stream web is judged
        """,
        "07:45",
        """
        06:10 ops: opened volume
        07:30 ops: reminded volume (still failing)
        """,
    ),
    Timeline(
        "a stream is renamed: what was wrong with it is wrong with the new one",
        """
        06:10 volume fails
        06:30 volume is gone
        06:30 stream web is removed
        06:30 stream site is judged
        06:30 site:volume fails
        """,
        "06:45",
        """
        06:10 ops: opened volume
        06:30 ops: opened site:volume
        06:30 ops: resolved volume (withdrawn: the stream web is no longer declared)
        """,
    ),
    Timeline(
        "a stream is paused: nothing is expected of it; what it holds must still be whole",
        """
        06:10 volume@05 fails
        06:10 completeness@05 fails
        06:30 volume@05 is gone
        06:30 stream web is paused
        """,
        "07:15",
        """
        06:10 ops: opened volume@05
        06:10 ops: opened completeness@05
        06:30 ops: resolved volume@05 (paused)
        07:10 ops: reminded completeness@05 (still failing)
        """,
    ),
    Timeline(
        "a stream that goes on after a pause is judged anew",
        """
        06:10 volume fails
        06:20 volume is gone
        06:20 stream web is paused
        06:30 volume fails
        06:30 stream web is judged
        """,
        "06:45",
        """
        06:10 ops: opened volume
        06:20 ops: resolved volume (paused)
        06:30 ops: opened volume
        """,
    ),
    Timeline(
        "of the platform only what was looked at is over",
        """
        06:10 platform:runs/raw fails
        06:20 platform:runs/raw is gone
        """,
        "07:10",
        "06:10 ops: opened platform:runs/raw",
    ),
]

CLOCK = [
    Timeline(
        "set back by an hour: nothing opens again, nothing is taken back, nothing is repeated too early",
        """
        06:10 volume fails
        07:40 the clock is set back 1h
        """,
        "10:30",
        """
        06:10 ops: opened volume
        07:10 ops: reminded volume (still failing)
        09:10 ops: reminded volume (still failing)
        10:10 ops: reminded volume (still failing)
        """,
    ),
    Timeline(
        "what is over while the clock is behind is told at once",
        """
        06:10 volume fails
        07:15 the clock is set back 1h
        07:20 volume passes
        07:25 volume fails
        07:26 volume passes
        """,
        "08:00",
        """
        06:10 ops: opened volume
        07:10 ops: reminded volume (still failing)
        07:20 ops: resolved volume
        07:25 ops: opened volume
        07:26 ops: resolved volume
        """,
    ),
    Timeline(
        "set ahead by a day and back again: one reminder, and the end is told",
        """
        06:10 volume fails
        06:20 the clock is set ahead 24h
        06:22 the clock is set back 24h
        06:30 volume passes
        """,
        "08:00",
        """
        06:10 ops: opened volume
        06:20 ops: reminded volume (still failing)
        06:30 ops: resolved volume
        """,
    ),
]

WINDOWS = [
    Timeline(
        "what fails within a window opens at its end, if it still fails",
        """
        06:10 volume fails
        06:10 silence/web-1 fails
        06:40 silence/web-1 passes
        """,
        "07:30",
        "07:00 ops: opened volume",
        alerts=f"{TO_OPS}, maintenance: [{{from: 2026-11-22T06:00, until: 2026-11-22T07:00}}]",
    ),
    Timeline(
        "what was open before is not repeated, nor escalated; its end is told",
        """
        06:10 volume fails
        06:10 silence/web-1 fails
        07:30 silence/web-1 passes
        """,
        "08:30",
        """
        06:10 ops: opened volume
        06:10 ops: opened silence/web-1
        07:30 ops: resolved silence/web-1
        08:00 ops: reminded volume (still failing; escalated after 30 min)
        08:00 boss: reminded volume (still failing; escalated after 30 min)
        """,
        alerts=(
            "routes: [{to: [ops], escalate: {after: 30m, to: [boss]}}],"
            " maintenance: [{from: 2026-11-22T06:30, until: 2026-11-22T08:00}]"
        ),
    ),
    Timeline(
        "a window covers what it names, and nothing else",
        """
        06:10 silence/web-1.east fails
        06:10 silence/web-1.west fails
        06:10 app:silence/web-1.east fails
        06:10 volume fails
        """,
        "06:30",
        """
        06:10 ops: opened silence/web-1.west
        06:10 ops: opened app:silence/web-1.east
        06:10 ops: opened volume
        """,
        alerts=f"{TO_OPS}, maintenance: [{{streams: [web], checks: [sil*], subjects: ['*.east'], days: [sun]}}]",
    ),
    Timeline(
        "what becomes worse within a window is told at its end",
        """
        06:10 volume fails as warn
        06:40 volume fails
        """,
        "07:05",
        """
        06:10 ops: opened volume
        07:00 ops: reminded volume (was a warning)
        """,
        alerts=f"{TO_OPS}, maintenance: [{{hours: '06:30-07:00'}}]",
    ),
]

ROUTED = [
    Timeline(
        "by day and by night; reminders go to those who are there, the end to all that heard",
        """
        17:10 volume fails
        20:00 volume passes
        """,
        "21:00",
        """
        17:10 ops: opened volume
        18:10 boss: reminded volume (still failing)
        19:10 boss: reminded volume (still failing)
        20:00 ops: resolved volume
        20:00 boss: resolved volume
        """,
        alerts="routes: [{hours: '08:00-18:00', to: [ops]}, {hours: '18:00-08:00', to: [boss]}]",
    ),
    Timeline(
        "what no route takes is told to nobody",
        """
        06:10 volume fails
        06:20 volume is acknowledged
        06:30 volume passes
        """,
        "07:30",
        "",
        alerts="routes: [{streams: [app], to: [ops]}, {checks: [silence], to: [boss]}, {severity: warn, to: [sms]}]",
    ),
    Timeline(
        "every route that fits counts, and a channel hears once",
        "06:10 volume fails",
        "06:30",
        """
        06:10 ops: opened volume
        06:10 boss: opened volume
        """,
        alerts="routes: [{to: [ops]}, {streams: ['w*'], to: [boss, ops]}, {checks: ['vol?me'], to: [ops]}]",
    ),
    Timeline(
        "a channel that fails is told to all the others",
        "06:10 platform:channel/boss fails",
        "06:30",
        """
        06:10 ops: opened platform:channel/boss
        06:10 sms: opened platform:channel/boss
        """,
        alerts="routes: [{to: [boss]}]",
    ),
]


TIMELINES = ids(
    {
        "not judged": NOT_JUDGED,
        "clock": CLOCK,
        "windows": WINDOWS,
        "routed": ROUTED,
    }
)


@pytest.mark.parametrize("timeline", TIMELINES.values(), ids=TIMELINES.keys())
def test_exactly_these_messages_go_out(timeline):
    timeline.holds()
