"""Format `lines`: anything. Each record is its `message`; it happened when it was received."""

from __future__ import annotations

from typing import Final

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.finish import Block, BlockFormat, Extracted

__all__ = ["RULES_VERSION", "LinesFormat"]

RULES_VERSION: Final = 1


class LinesFormat(BlockFormat):
    """Text without structure."""

    def __init__(self, options: ParseOptions) -> None:
        super().__init__(options, {})

    def extract(self, block: Block) -> Extracted:
        """The line itself."""
        return Extracted(columns={"message": block.text})
