"""The ids that senders gave, of one event hour: is this one there already?

Two forms, chosen by the id alone, so that the same id always finds itself:
    intervals   an id `<session>-<seq>` with 0 <= seq < 2^32 - 1 is a point (session, seq); a session's points are runs.
                A well-behaved hour is a few intervals, whatever its number of records.
    table       any other id is its 128-bit MD5 (RFC 1321) in a table on disk (idtable.py). Two different ids collide
                with probability 2^-128; an hour of 10^8 ids with about 10^-23. The id of the lake's table stands before
                each text that is hashed: who does not know it cannot make two ids that collide.
Both cost the same at the end of the hour as at its start. They are hints: rebuilt from `logs` at any time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.ingest.idtable import IdTable
from nw_platform.lake.engine import connect, literal

_SEQ_BITS: Final = np.uint64(32)
_SEQ_MASK: Final = np.uint64((1 << 32) - 1)
_MAX_SEQ: Final = (1 << 32) - 2
_SESSION_ID: Final = r"(?s)^(?P<session>.*)-(?P<seq>0|[1-9][0-9]{0,9})$"
_TABLE: Final = "others.bin"
_FEW: Final = 4096
_HASHED_AT_ONCE: Final = 1 << 17  # texts: what the engine holds of them is bounded


@dataclass(slots=True)
class Ids:
    """Ids of one hour's rows, split by form. `*_at` are row numbers."""

    session_at: np.ndarray
    sessions: np.ndarray  # S32: MD5 of each different session, in hex
    codes: np.ndarray  # for each row, the number of its session in `sessions`
    seqs: np.ndarray  # uint64
    other_at: np.ndarray
    others: np.ndarray  # (n, 2) uint64: MD5 of the id

    @classmethod
    def of(cls, event_id: pa.Array, session: pa.Array, seq: pa.Array, salt: str = "") -> Ids:
        """Split ids: `event_id` and `session` string, `seq` int64, of equal length; the latter two may be null.

        `salt`: what is hashed before each text; ids of different salts cannot be compared.
        """
        shaped = pc.equal(pc.binary_join_element_wise(session, pc.cast(seq, pa.string()), "-"), event_id)
        fits = pc.and_(pc.greater_equal(seq, 0), pc.less_equal(seq, _MAX_SEQ))
        is_session = pc.fill_null(pc.and_(shaped, fits), fill_value=False)
        if not pc.all(is_session).as_py():  # the id decides, not whether the record repeats its parts beside it
            session, seq = _parts(event_id, is_session, session, seq)
            is_session = pc.is_valid(seq)
        mask = is_session.to_numpy(zero_copy_only=False)
        session_at, other_at = np.flatnonzero(mask), np.flatnonzero(~mask)
        if len(other_at):
            session, seq = session.take(pa.array(session_at)), seq.take(pa.array(session_at))
        names = session.dictionary_encode()
        seqs = seq.to_numpy(zero_copy_only=False).astype(np.uint64)
        return cls(
            session_at,
            _md5_text(names.dictionary, salt),
            names.indices.to_numpy(zero_copy_only=False),
            seqs,
            other_at,
            _md5_numbers(event_id.take(pa.array(other_at)), salt),
        )


@dataclass(frozen=True, slots=True)
class New:
    """Ids that a set does not have, each once."""

    keys: np.ndarray  # uint64, sorted: session number << 32 | seq
    others: np.ndarray  # (n, 2) uint64


@dataclass(slots=True)
class IdSet:
    """All ids of one event hour."""

    sessions: np.ndarray = field(default_factory=lambda: np.empty(0, "S32"))  # sorted
    starts: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))  # session number << 32 | first seq
    ends: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))  # likewise, last seq
    table: IdTable = field(default_factory=IdTable)
    used: int = 0  # numbers in the table

    def repeats(self, ids: Ids, rows: int) -> tuple[np.ndarray, New]:
        """Which of `rows` rows repeat an id that is in the set, or that an earlier one of these rows has.

        Also what the set would gain by the others, for `add`.
        """
        repeated = np.zeros(rows, dtype=bool)
        keys = self._keys(ids)
        new_keys = np.sort(keys)
        if self._covered(new_keys).any() or (new_keys[1:] == new_keys[:-1]).any():
            repeated[ids.session_at] = self._covered(keys) | _seen_before(keys)
            new_keys = np.sort(keys[~repeated[ids.session_at]])
        others = self.table.contains(ids.others) | _seen_before(ids.others)
        repeated[ids.other_at] = others
        return repeated, New(new_keys, ids.others[~others])

    def add(self, new: New) -> None:
        """Take in what `repeats` said is new; nothing may have been added in between."""
        if len(new.keys):
            breaks = np.flatnonzero(np.diff(new.keys) != 1)
            first = new.keys[np.concatenate(([0], breaks + 1))]
            last = new.keys[np.concatenate((breaks, [len(new.keys) - 1]))]
            self._merge(first, last)
        if len(new.others):
            self.used += len(new.others)
            self.table.insert(new.others, self.used)

    def save(self, folder: Path) -> None:
        """Write into a folder of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table.save(folder / _TABLE)
        np.savez(
            folder / "intervals.npz",
            sessions=self.sessions,
            starts=self.starts,
            ends=self.ends,
            used=self.used,
            slots=len(self.table),
        )

    @classmethod
    def load(cls, folder: Path) -> IdSet:
        """What `save` wrote; the table stays on disk and is paged in as it is looked at.

        Raises:
            OSError, ValueError, KeyError: the files are not there or not whole; build the set anew.
        """
        with np.load(folder / "intervals.npz") as saved:
            table = IdTable(folder, folder / _TABLE, int(saved["slots"]))
            return cls(saved["sessions"], saved["starts"], saved["ends"], table, int(saved["used"]))

    def _keys(self, ids: Ids) -> np.ndarray:
        """Each session id as one number. Sessions not known yet are taken in first."""
        new = np.setdiff1d(ids.sessions, self.sessions)
        if len(new):
            known = np.union1d(self.sessions, new)
            moved = np.searchsorted(known, self.sessions).astype(np.uint64)
            self.starts, self.ends = (
                (moved[(keys >> _SEQ_BITS).astype(np.int64)] << _SEQ_BITS) | (keys & _SEQ_MASK)
                for keys in (self.starts, self.ends)
            )
            self.sessions = known
        numbers = np.searchsorted(self.sessions, ids.sessions).astype(np.uint64)
        return np.asarray((numbers[ids.codes] << _SEQ_BITS) | ids.seqs)

    def _covered(self, keys: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self.starts, keys, side="right") - 1
        inside = np.zeros(len(keys), dtype=bool)
        some = at >= 0
        inside[some] = keys[some] <= self.ends[at[some]]
        return inside

    def _merge(self, first: np.ndarray, last: np.ndarray) -> None:
        """Add intervals that are disjoint from those there; neighbours become one."""
        starts, ends = np.concatenate((self.starts, first)), np.concatenate((self.ends, last))
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
        apart = np.flatnonzero(starts[1:] != ends[:-1] + np.uint64(1)) + 1
        self.starts = starts[np.concatenate(([0], apart))]
        self.ends = ends[np.concatenate((apart - 1, [len(ends) - 1]))]


def _parts(event_id: pa.Array, known: pa.Array, session: pa.Array, seq: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Session and seq of every id that has the form of one; null in the others."""
    found = pc.extract_regex(event_id, _SESSION_ID)
    number = pc.cast(pc.struct_field(found, "seq"), pa.int64())
    number = pc.if_else(pc.less_equal(number, _MAX_SEQ), number, pa.scalar(None, pa.int64()))
    name = pc.if_else(pc.is_valid(number), pc.struct_field(found, "session"), pa.scalar(None, pa.string()))
    return pc.if_else(known, session, name), pc.if_else(known, seq, number)


def _seen_before(keys: np.ndarray) -> np.ndarray:
    """Which elements (or rows) equal an earlier one."""
    if keys.ndim == 1:
        order = np.argsort(keys, kind="stable")
        same = keys[order][1:] == keys[order][:-1]
    else:
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        same = (keys[order][1:] == keys[order][:-1]).all(axis=1)
    seen = np.zeros(len(keys), dtype=bool)
    seen[order[1:][same]] = True
    return seen


def _md5_text(texts: pa.Array, salt: str) -> np.ndarray:
    if len(texts) <= _FEW:  # sessions, not records: a call of the engine would cost more
        hashed = [hashlib.md5((salt + t).encode(), usedforsecurity=False).hexdigest() for t in texts.to_pylist()]
        return np.array(hashed, "S32")
    return np.array(_hashed(texts, salt, "md5(t)")[0].to_pylist(), dtype="S32")


def _md5_numbers(texts: pa.Array, salt: str) -> np.ndarray:
    if not len(texts):
        return np.empty((0, 2), np.uint64)
    hashed = np.empty((len(texts), 2), np.uint64)
    for first in range(0, len(texts), _HASHED_AT_ONCE):
        part = texts.slice(first, _HASHED_AT_ONCE)
        upper, lower = _hashed(part, salt, "md5_number_upper(t)", "md5_number_lower(t)")
        hashed[first : first + len(part), 0] = upper.to_numpy()
        hashed[first : first + len(part), 1] = lower.to_numpy() | np.uint64(1)  # never all zero: that is "empty"
    return hashed


def _hashed(texts: pa.Array, salt: str, *expressions: str) -> list[pa.ChunkedArray]:
    with connect() as connection:
        connection.register("texts", pa.table({"t": texts}))
        salted = f"SELECT {literal(salt)} || t AS t FROM texts"
        return list(connection.sql(f"SELECT {', '.join(expressions)} FROM ({salted})").to_arrow_table().columns)
