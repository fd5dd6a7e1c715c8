r"""Where a lane stands in its topics: JSON values, one entry per incarnation of a topic.

{"asked": ["orders", "^app\."],                   the topics as configured when this was written
 "topics": {"orders": {"<topic id>": {
     "next": {"0": 17, "1": 4},                    partition -> the offset to read next
     "end":  {"0": 40},                            partition -> its end as last seen, where there was more to read
     "cut":  {"1": [3]}}}}}                        partition -> where the brokers lost the end of its log; rare
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

__all__ = ["Incarnation", "Positions", "incarnation_of", "matches"]

_PATTERN: Final = "^"


def matches(asked: Iterable[str], name: str) -> bool:
    """Whether a topic is one of those that are asked for: by its name, or by a regular expression (^...)."""
    return any(re.search(what, name) if what.startswith(_PATTERN) else what == name for what in asked)


def incarnation_of(topic_id: str, partition: int, cuts: int) -> str:
    """What a span of a partition holds as its incarnation: offsets are given out once under it."""
    return f"{topic_id}.{partition}" + (f".{cuts}" if cuts else "")


class Incarnation:
    """One incarnation of a topic: views of its part of the positions."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self._entry = entry

    def next(self) -> dict[int, int]:
        """Partition -> offset to read next."""
        return {int(p): offset for p, offset in self._entry.get("next", {}).items()}

    def cuts(self, partition: int) -> list[int]:
        """Offsets at which the end of the log was lost, oldest first."""
        return list(self._entry.get("cut", {}).get(str(partition), ()))

    def unread(self) -> dict[int, tuple[int, int]]:
        """Partition -> (offset to read next, end as last seen), where that is not the same."""
        ends = self._entry.get("end", {})
        return {p: (at, ends[str(p)]) for p, at in sorted(self.next().items()) if ends.get(str(p), at) > at}

    def move(self, partition: int, offset: int) -> None:
        """Read on from `offset`."""
        self._entry.setdefault("next", {})[str(partition)] = offset

    def see(self, partition: int, end: int) -> None:
        """Remember the partition's end if there is more to read."""
        ends = self._entry.setdefault("end", {})
        if end > self._entry.get("next", {}).get(str(partition), end):
            ends[str(partition)] = end
        else:
            ends.pop(str(partition), None)
        if not ends:
            del self._entry["end"]

    def cut(self, partition: int, offset: int) -> None:
        """The log ended at `offset` although it was read further: a new numbering begins there."""
        self._entry.setdefault("cut", {}).setdefault(str(partition), []).append(offset)
        self.move(partition, offset)


class Positions:
    """Of a lane. A value: `copy` before changing it."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self._data: dict[str, Any] = copy.deepcopy(dict(data or {}))

    @classmethod
    def union(cls, before: Sequence[Mapping[str, Any]], lane: tuple[int, int]) -> Self:
        """What the lanes before had reached of this lane's partitions, and what was configured then.

        The first plan says what is configured now: to it, a topic that came with the new lanes is newly configured.
        """
        number, lanes = lane
        found = cls()
        found.ask(sorted({what for positions in before for what in positions.get("asked", ())}))
        for positions in before:
            for name, incarnations in positions.get("topics", {}).items():
                for topic_id, entry in incarnations.items():
                    into = found.data()["topics"].setdefault(name, {}).setdefault(topic_id, {})
                    for what, values in entry.items():
                        mine = {p: value for p, value in values.items() if int(p) % lanes == number}
                        if mine or what == "next":
                            into.setdefault(what, {}).update(copy.deepcopy(mine))
        return found

    def copy(self) -> Positions:
        """One that can be changed."""
        return Positions(self._data)

    def data(self) -> dict[str, Any]:
        """The JSON values themselves."""
        return self._data

    def as_json(self) -> dict[str, Any]:
        """JSON values that nobody else changes."""
        return copy.deepcopy(self._data)

    def ask(self, asked: Sequence[str]) -> None:
        """Remember what is configured."""
        self._data["asked"] = list(asked)
        self._data.setdefault("topics", {})

    def asked(self) -> list[str]:
        """What was configured when these positions were written; empty: before the first receipt."""
        return list(self._data.get("asked", ()))

    def names(self) -> list[str]:
        """Topics that anything is known of."""
        return sorted(self._data.get("topics", {}))

    def ids(self, name: str) -> list[str]:
        """The incarnations of a topic that were not forgotten."""
        return list(self._data.get("topics", {}).get(name, {}))

    def of(self, name: str, topic_id: str) -> Incarnation:
        """One incarnation, to look at; empty if there is none."""
        return Incarnation(self._data.get("topics", {}).get(name, {}).get(topic_id, {}))

    def at(self, name: str, topic_id: str) -> Incarnation:
        """One incarnation, to change."""
        return Incarnation(self._data.setdefault("topics", {}).setdefault(name, {}).setdefault(topic_id, {}))

    def forget(self, name: str, topic_id: str) -> None:
        """An incarnation is gone for good."""
        self._data.get("topics", {}).get(name, {}).pop(topic_id, None)
