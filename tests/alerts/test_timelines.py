"""What is told when: each case is a timeline of what happens, and all the messages that go out because of it.

How to read one is said in tests/alerts/story.py. Evaluations are made once a minute, from 06:00 on. Here: the life of
an alert. What is not judged, clocks, windows and routes: test_timelines_of_exceptions.py.
"""

from __future__ import annotations

import pytest

from tests.alerts.story import TO_OPS, Timeline, ids

LIFE = [
    Timeline(
        "what passes is not spoken of",
        "06:00 volume passes",
        "09:00",
        "",
    ),
    Timeline(
        "a failure is told once, repeated each hour, and its end is told",
        """
        06:10 volume@05 fails
        08:45 volume@05 passes
        """,
        "12:00",
        """
        06:10 ops: opened volume@05
        07:10 ops: reminded volume@05 (still failing)
        08:10 ops: reminded volume@05 (still failing)
        08:45 ops: resolved volume@05
        """,
    ),
    Timeline(
        "what fails again is a new alert",
        """
        06:10 volume fails
        06:20 volume passes
        06:30 volume fails
        """,
        "07:30",
        """
        06:10 ops: opened volume
        06:20 ops: resolved volume
        06:30 ops: opened volume
        07:30 ops: reminded volume (still failing)
        """,
    ),
    Timeline(
        "each hour, host and stream has an alert of its own",
        """
        06:10 silence/web-1 fails
        06:11 silence/web-2 fails
        06:12 app:silence/web-1 fails
        06:13 silence/web-1 passes
        """,
        "06:30",
        """
        06:10 ops: opened silence/web-1
        06:11 ops: opened silence/web-2
        06:12 ops: opened app:silence/web-1
        06:13 ops: resolved silence/web-1
        """,
    ),
    Timeline(
        "reminders come as often as is declared",
        "06:10 volume fails",
        "07:00",
        """
        06:10 ops: opened volume
        06:35 ops: reminded volume (still failing)
        07:00 ops: reminded volume (still failing)
        """,
        alerts=f"reminder: 25m, {TO_OPS}",
    ),
    Timeline(
        "or never",
        "06:10 volume fails",
        "23T06:10",
        "06:10 ops: opened volume",
        alerts=f"reminder: never, {TO_OPS}",
    ),
]

SEVERITY = [
    Timeline(
        "a warning that becomes an error is told at once, and then as always",
        """
        06:10 silence/web-1 fails as warn
        06:20 silence/web-1 fails
        """,
        "08:10",
        """
        06:10 ops: opened silence/web-1
        06:20 ops: reminded silence/web-1 (was a warning)
        07:10 ops: reminded silence/web-1 (still failing)
        08:10 ops: reminded silence/web-1 (still failing)
        """,
    ),
    Timeline(
        "right after a word out of turn no reminder follows",
        """
        06:10 silence/web-1 fails as warn
        07:00 silence/web-1 fails
        """,
        "08:10",
        """
        06:10 ops: opened silence/web-1
        07:00 ops: reminded silence/web-1 (was a warning)
        08:10 ops: reminded silence/web-1 (still failing)
        """,
    ),
    Timeline(
        "one that goes back and forth is told once, not each time",
        """
        06:10 silence/web-1 fails as warn
        06:20 silence/web-1 fails
        06:25 silence/web-1 fails as warn
        06:30 silence/web-1 fails
        06:35 silence/web-1 fails as warn
        """,
        "07:00",
        """
        06:10 ops: opened silence/web-1
        06:20 ops: reminded silence/web-1 (was a warning)
        """,
    ),
    Timeline(
        "each severity has its channels; the end is told to all that heard",
        """
        06:10 silence/web-1 fails as warn
        06:20 silence/web-1 fails
        06:30 silence/web-1 passes
        """,
        "07:30",
        """
        06:10 ops: opened silence/web-1
        06:20 boss: reminded silence/web-1 (was a warning)
        06:30 ops: resolved silence/web-1
        06:30 boss: resolved silence/web-1
        """,
        alerts="routes: [{severity: warn, to: [ops]}, {severity: error, to: [boss]}]",
    ),
]

ACKNOWLEDGED = [
    Timeline(
        "an acknowledged alert is not repeated, and its end is told",
        """
        06:10 volume fails
        06:20 volume is acknowledged
        09:00 volume passes
        """,
        "09:30",
        """
        06:10 ops: opened volume
        06:20 ops: acknowledged volume (ann: on it)
        09:00 ops: resolved volume
        """,
    ),
    Timeline(
        "the next alert about the same is not acknowledged",
        """
        06:10 volume fails
        06:20 volume is acknowledged
        06:30 volume passes
        06:40 volume fails
        """,
        "07:40",
        """
        06:10 ops: opened volume
        06:20 ops: acknowledged volume (ann: on it)
        06:30 ops: resolved volume
        06:40 ops: opened volume
        07:40 ops: reminded volume (still failing)
        """,
    ),
    Timeline(
        "when it gets worse the acknowledgement is over",
        """
        06:10 volume fails as warn
        06:20 volume is acknowledged
        08:30 volume fails
        """,
        "10:10",
        """
        06:10 ops: opened volume
        06:20 ops: acknowledged volume (ann: on it)
        08:30 ops: reminded volume (was a warning)
        09:10 ops: reminded volume (still failing)
        10:10 ops: reminded volume (still failing)
        """,
    ),
]

ESCALATION = "routes: [{to: [ops], escalate: {after: 30m, to: [boss]}}]"
ESCALATED = [
    Timeline(
        "what nobody takes care of is told to others, once; they hear of its end",
        """
        06:10 volume fails
        07:30 volume passes
        """,
        "08:00",
        """
        06:10 ops: opened volume
        06:40 boss: reminded volume (escalated after 30 min)
        07:10 ops: reminded volume (still failing)
        07:30 ops: resolved volume
        07:30 boss: resolved volume
        """,
        alerts=ESCALATION,
    ),
    Timeline(
        "somebody takes care in time",
        """
        06:10 volume fails
        06:39 volume is acknowledged
        """,
        "09:00",
        """
        06:10 ops: opened volume
        06:39 ops: acknowledged volume (ann: on it)
        """,
        alerts=ESCALATION,
    ),
    Timeline(
        "it is over in time",
        """
        06:10 volume fails
        06:39 volume passes
        """,
        "09:00",
        """
        06:10 ops: opened volume
        06:39 ops: resolved volume
        """,
        alerts=ESCALATION,
    ),
    Timeline(
        "step by step; with a reminder in one message where both are due",
        "06:00 volume fails",
        "07:30",
        """
        06:00 ops: opened volume
        06:30 boss: reminded volume (escalated after 30 min)
        07:00 ops: reminded volume (still failing; escalated after 60 min)
        07:00 sms: reminded volume (still failing; escalated after 60 min)
        """,
        alerts=(
            "routes: [{to: [ops], escalate: {after: 30m, to: [boss]}},"
            " {severity: error, to: [ops], escalate: {after: 1h, to: [sms]}}]"
        ),
    ),
]

STORM = [
    Timeline(
        "five at a time are told one by one",
        "06:10 silence/web-{1..5} fails",
        "06:20",
        "\n".join(f"06:10 ops: opened silence/web-{n}" for n in range(1, 6)),
    ),
    Timeline(
        "a data centre goes dark: one message, one each hour, one when it is back",
        """
        06:10 silence/web-{1..500} fails
        07:30 silence/web-{1..500} passes
        """,
        "08:30",
        """
        06:10 ops: opened 500 of silence
        07:10 ops: reminded 500 of silence
        07:30 ops: resolved 500 of silence
        """,
    ),
    Timeline(
        "what opens, and what is over, are two messages",
        """
        06:10 silence/web-{1..6} fails
        06:20 silence/web-{1..6} passes
        06:20 volume@05 fails
        06:20 silence/db-{1..6} fails
        """,
        "06:30",
        """
        06:10 ops: opened 6 of silence
        06:20 ops: resolved 6 of silence
        06:20 ops: opened 7 of silence and volume
        """,
    ),
    Timeline(
        "hosts that come back one after the other are told so",
        """
        06:10 silence/web-{1..6} fails
        06:20 silence/web-1 passes
        06:21 silence/web-2 passes
        """,
        "06:30",
        """
        06:10 ops: opened 6 of silence
        06:20 ops: resolved silence/web-1
        06:21 ops: resolved silence/web-2
        """,
    ),
    Timeline(
        "how many are a storm is declared",
        """
        06:10 silence/web-{1..2} fails
        06:11 silence/db-1 fails
        """,
        "06:30",
        """
        06:10 ops: opened 2 of silence
        06:11 ops: opened silence/db-1
        """,
        alerts=f"digest_over: 1, {TO_OPS}",
    ),
]

TIMELINES = ids(
    {
        "life": LIFE,
        "severity": SEVERITY,
        "acknowledged": ACKNOWLEDGED,
        "escalated": ESCALATED,
        "storm": STORM,
    }
)


@pytest.mark.parametrize("timeline", TIMELINES.values(), ids=TIMELINES.keys())
def test_exactly_these_messages_go_out(timeline):
    timeline.holds()
