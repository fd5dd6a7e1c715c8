"""What a check found, and which findings are worth writing down.

`changes` and `remember` keep Dagster's event log small: a finding is written when it is new, when it changed and once
more when its hour is over. Their state is a plain mapping of text to bool, so that it fits into a sensor's cursor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nw_platform.record.hours import HOUR_US, hour_of, hour_start

Severity = Literal["warn", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of one check for one partition (or for the stream as a whole) and one subject.

    `passed=False` always comes with a message of one line that says what is wrong, where and since when, and with
    the command that repairs it (or says what to look at). `numbers` holds what was compared: JSON values only.
    """

    check: str
    asset: str  # raw/<stream> or logs/<stream>
    stream: str
    partition: str | None  # an hour of the asset; None: a standing condition of the stream
    subject: str  # what of the partition: an expectation's name, a file, a host; '' for the partition as a whole
    passed: bool
    severity: Severity
    message: str
    repair: str = ""
    since: int | None = None  # microseconds since the epoch; when what is wrong began
    numbers: Mapping[str, Any] = field(default_factory=dict)
    is_known: bool = True  # False: it cannot be judged now. That is no failure, and it ends none

    @property
    def key(self) -> str:
        """What the finding is about: equal for the same thing at another time."""
        return "|".join((self.check, self.asset, self.partition or "", self.subject))

    def as_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "numbers": dict(self.numbers), "key": self.key}


def phase_key(finding: Finding, now: int) -> str:
    """The key under which a finding counts as written: another one once its hour is over.

    A standing condition is written anew in each hour, because Dagster shows it under the open hour.
    """
    if finding.partition is None:
        return f"{finding.key}|{hour_of(now)}"
    closed = hour_start(finding.partition) + HOUR_US <= now
    return f"{finding.key}|{'closed' if closed else 'open'}"


def changes(previous: Mapping[str, bool], findings: Iterable[Finding], now: int) -> list[Finding]:
    """The findings to write: evaluated for the first time, changed, or for the first time after their hour's close."""
    return [finding for finding in findings if previous.get(phase_key(finding, now)) is not finding.passed]


def remember(previous: Mapping[str, bool], findings: Iterable[Finding], now: int, *, keep: int = 48) -> dict[str, bool]:
    """The state after `findings` were written: give it to the next `changes`. Survives JSON.

    What was not evaluated this time is kept for `keep` hours after its hour, so that an hour that is left out of one
    evaluation is not written again, and forgotten after that: the state does not grow with history. A failing one is
    kept until it is evaluated again.
    """
    evaluated = {phase_key(finding, now): finding.passed for finding in findings}
    horizon = hour_of(now - keep * HOUR_US)
    kept = {
        key: passed for key, passed in previous.items() if key not in evaluated and _worth_keeping(key, horizon, passed)
    }
    return kept | evaluated


def _worth_keeping(key: str, horizon: str, passed: bool) -> bool:  # noqa: FBT001  (read in one place)
    """Whether a key that was not evaluated may still be asked for. Its phase is `open`, `closed` or an hour."""
    head, phase = key.rsplit("|", 1)
    if phase not in {"open", "closed"}:
        return phase >= horizon
    partition = head.split("|")[2]
    return partition >= horizon or (phase == "closed" and not passed)


def rollup(findings: Iterable[Finding], now: int) -> list[Finding]:
    """One finding for each (asset, check, partition): what an asset check of Dagster can hold.

    Several subjects become one finding that fails if one of them does; its message names the failing ones first. A
    standing condition counts for the open hour. Order: that of the first finding of each group.
    """
    open_hour = hour_of(now)
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        partition = finding.partition or open_hour
        groups.setdefault((finding.asset, finding.check, partition), []).append(finding)
    return [_merge(group, partition) for (_, _, partition), group in groups.items()]


def _merge(group: list[Finding], partition: str, shown: int = 5) -> Finding:
    """One finding for all of `group`."""
    failing = [finding for finding in group if not finding.passed]
    told = failing or group
    first = told[0]
    messages = [finding.message for finding in told[:shown]]
    if len(told) > shown:
        messages.append(f"and {len(told) - shown} more")
    numbers: dict[str, Any] = {}
    for finding in told[:shown]:
        prefix = f"{finding.subject}: " if len(told) > 1 and finding.subject else ""
        numbers.update({f"{prefix}{name}": value for name, value in finding.numbers.items()})
    if len(group) > 1:
        numbers |= {"subjects": len(group), "failing": len(failing)}
    sinces = [finding.since for finding in told if finding.since is not None]
    return Finding(
        check=first.check,
        asset=first.asset,
        stream=first.stream,
        partition=partition,
        subject="",
        passed=not failing,
        severity="error" if any(finding.severity == "error" for finding in told) else "warn",
        message="; ".join(dict.fromkeys(messages)),
        repair="; ".join(dict.fromkeys(finding.repair for finding in told[:shown] if finding.repair)),
        since=min(sinces) if sinces else None,
        numbers=numbers,
    )
