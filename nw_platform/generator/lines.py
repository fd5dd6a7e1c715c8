"""The text of wire records, a whole minute of one sender at a time, with column operations only.

The same generator state gives the same text: nothing here depends on a clock, a locale or a dictionary's order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.generator.spec import LATE_BY_US, MINUTE_US, Sender, TrafficSpec

TYPES: Final = ("request", "payment", "login", "job")
_SHARES_OF_TYPES: Final = {"frontend": (0.82, 0.0, 0.15, 0.03), "checkout": (0.3, 0.5, 0.0, 0.2)}
_STATUSES: Final = pa.array(["200", "201", "204", "304", "400", "404", "500", "503"])
_SHARES_OF_STATUSES: Final = (0.86, 0.03, 0.02, 0.04, 0.01, 0.03, 0.007, 0.003)
_METHODS_AND_PATHS: Final = pa.array(
    [
        f'"method":"{method}","path":"{path}"'
        for method, path in (
            ("GET", "/"), ("GET", "/search"), ("GET", "/product/12"), ("GET", "/product/831"), ("GET", "/cart"),
            ("POST", "/cart"), ("POST", "/checkout"), ("GET", "/account"), ("PUT", "/account"), ("GET", "/health"),
        )
    ]
)  # fmt: skip
_CLIENTS: Final = pa.array(
    [
        f'"client":{{"os":"{os}","app":"{app}"}}'
        for os, app in (("ios", "5.1"), ("ios", "5.2"), ("android", "5.1"), ("android", "5.0"), ("web", ""))
    ]
)
_FAILED_LOGINS: Final = 0.06
_CURRENCIES: Final = pa.array(["EUR", "USD", "GBP"])
_JOBS: Final = pa.array(['"job":"reindex"', '"job":"report","note":null', '"job":"cleanup","note":"nightly"'])
_ITEMS: Final = pa.array(
    [
        '"items":[{"sku":"A-17","qty":1}]',
        '"items":[{"sku":"A-17","qty":2},{"sku":"B-04","qty":1}]',
        '"items":[{"sku":"C-90","qty":1,"gift":true}]',
        '"items":[]',
    ]
)
_MESSAGES: Final = pa.array(["served", "paid", "signed in", "finished"])
_FAILED: Final = pa.array(["upstream timed out", "card refused by the bank", "account locked", "gave up after 3 tries"])


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn for the records of one sender in some minutes, in the order they are sent. Equally long arrays."""

    at: np.ndarray[Any, Any]  # index of the record's minute
    happened_ms: np.ndarray[Any, Any]
    types: np.ndarray[Any, Any]  # index into TYPES
    is_error: np.ndarray[Any, Any]  # bool: series error
    is_spilled: np.ndarray[Any, Any]  # bool
    is_late: np.ndarray[Any, Any]  # bool


def draw_records(
    spec: TrafficSpec, sender: Sender, draw: np.random.Generator, minutes: list[int], counts: list[int]
) -> Drawn:
    """Draw `counts[i]` records that are sent in the minute that begins at `minutes[i]`."""
    at = np.repeat(np.arange(len(minutes)), counts)
    start = np.array(minutes, np.int64)
    length = np.minimum(start + MINUTE_US, spec.end) - start
    # Sorted as a whole they are sorted within their minutes, which do not overlap.
    happened_ms = np.sort(start[at] + (draw.random(len(at)) * length[at]).astype(np.int64)) // 1000
    types = _choose(draw, _SHARES_OF_TYPES[sender.process], len(at))
    is_error, is_late, is_spilled = (draw.random(len(at)) < share for share in (spec.errors, spec.late, spec.spill))
    return Drawn(at, happened_ms - is_late * (LATE_BY_US // 1000), types, is_error, is_spilled, is_late)


def write_records(
    sender: Sender,
    session: str,
    draw: np.random.Generator,
    drawn: Drawn,
    *,
    seq: np.ndarray[Any, Any],
    user_keys: pa.Array,
) -> pa.Array:
    """The lines (large_string, without line ending) of drawn records. `user_keys`: what each calls its user."""
    numbers = _text(pa.array(seq))
    return pc.binary_join_element_wise(
        _large(f'{{"v":1,"id":"{session}-'),
        numbers,
        _large('","ts":'),
        _text(pa.array(drawn.happened_ms)),
        _large(
            f',"host":"{sender.host}","ip":"{sender.ip}","process":"{sender.process}","pid":{sender.pid},'
            f'"session":"{session}","seq":'
        ),
        numbers,
        _pick(pa.array(["", ',"spilled":true']), drawn.is_spilled),
        _pick(pa.array([',"type":"', ',"series":"error","type":"']), drawn.is_error),
        _fields(draw, drawn, user_keys),
        _large(""),
    )


def cut(lines: pa.Array) -> pa.Array:
    """The same lines cut short before they say when they happened: no JSON any more."""
    return pc.utf8_slice_codeunits(lines, 0, 20)


def _fields(draw: np.random.Generator, drawn: Drawn, user_keys: pa.Array) -> pa.Array:
    """What follows `"type":"`: type, severity, message and fields, one text per record."""
    types, is_error, count = drawn.types, drawn.is_error, len(drawn.types)
    severity = _pick(pa.array(['","severity":"INFO","message":"', '","severity":"ERROR","message":"']), is_error)
    chosen = np.where(is_error, types + len(TYPES), types)
    message = _pick(pa.concat_arrays([_MESSAGES, _FAILED]), chosen)
    number = _text(pa.array(draw.integers(1, 5000, count)))
    user = pc.binary_join_element_wise(_large('"'), user_keys, _large('":"u'), number, _large('"'), _large(""))
    status = _pick(_STATUSES, np.where(is_error, 6, _choose(draw, _SHARES_OF_STATUSES, count)))
    latency = _decimal(draw.lognormal(3.2, 0.7, count), 1)
    own_keys: dict[str, Callable[[int], pa.Array]] = {
        "request": lambda n: _pick(_METHODS_AND_PATHS, draw.integers(0, len(_METHODS_AND_PATHS), n)),
        "payment": lambda n: _amounts(draw, n),
        "login": lambda n: _pick(pa.array(['"ok":true', '"ok":false']), draw.random(n) < _FAILED_LOGINS),
        "job": lambda n: _pick(_JOBS, draw.integers(0, len(_JOBS), n)),
    }
    parts: list[pa.Array] = []
    places: list[np.ndarray[Any, Any]] = []
    for kind, name in enumerate(TYPES):
        places.append(where := np.flatnonzero(types == kind))
        own = own_keys[name](len(where))
        details = _ITEMS if name == "payment" else _CLIENTS
        rest = _pick(details, draw.integers(0, len(details), len(where)))
        at = pa.array(where)
        parts.append(
            pc.binary_join_element_wise(
                _large(name), severity.take(at), message.take(at), _large('","fields":{'), user.take(at),
                _large(',"status":'), status.take(at), _large(',"latency_ms":'), latency.take(at),
                _large(","), own, _large(","), rest, _large("}}"), _large(""),
            )
        )  # fmt: skip
    back = np.empty(count, dtype=np.int64)
    back[np.concatenate(places)] = np.arange(count)
    return pa.concat_arrays(parts).take(pa.array(back))


def _amounts(draw: np.random.Generator, count: int) -> pa.Array:
    amount = _decimal(draw.gamma(2.0, 20.0, count), 2)
    currency = _pick(_CURRENCIES, draw.integers(0, len(_CURRENCIES), count))
    return pc.binary_join_element_wise(
        _large('"amount":'), amount, _large(',"currency":"'), currency, _large('"'), _large("")
    )


def _choose(draw: np.random.Generator, shares: tuple[float, ...], count: int) -> np.ndarray[Any, Any]:
    """`count` indices, index i with probability shares[i]."""
    bounds = np.cumsum(shares)
    return np.searchsorted(bounds / bounds[-1], draw.random(count), side="right")


def _pick(words: pa.Array, indices: np.ndarray[Any, Any]) -> pa.Array:
    return words.cast(pa.large_string()).take(pa.array(indices.astype(np.int64)))


def _text(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.large_string())


def _decimal(numbers: np.ndarray[Any, Any], digits: int) -> pa.Array:
    """Numbers with exactly so many decimals: a key that is a float is never written like an integer."""
    whole, rest = np.divmod(np.rint(numbers * 10**digits).astype(np.int64), 10**digits)
    decimals = pc.utf8_lpad(_text(pa.array(rest)), digits, padding="0")
    return pc.binary_join_element_wise(_text(pa.array(whole)), _large("."), decimals, _large(""))


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
