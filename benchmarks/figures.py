"""Figures and the table they are printed in."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, and what it should be."""

    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    spread: tuple[float, float] | None = None  # the lowest and the highest of several runs
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None if there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    def cells(self) -> tuple[str, str, str, str, str]:
        """What is measured, number (lowest to highest), target, whether met, detail."""
        spread = f" ({self.spread[0]:.2f} to {self.spread[1]:.2f})" if self.spread else ""
        target = f">= {self.at_least:g}" if self.at_least is not None else ""
        target = f"<= {self.at_most:g}" if self.at_most is not None else target
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return (self.what, f"{self.value:.2f}{self.unit}{spread}", target, verdict, self.detail)


def median_of(what: str, values: Sequence[float], **rest: object) -> Figure:
    """A figure that is the median of several runs. `rest`: other fields of Figure."""
    return Figure(what, statistics.median(values), spread=(min(values), max(values)), **rest)  # type: ignore[arg-type]  # fields of Figure


def table(figures: Iterable[Figure]) -> str:
    """Rows in aligned columns."""
    rows = [("figure", "median (lowest to highest)", "target", "", ""), *(figure.cells() for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
