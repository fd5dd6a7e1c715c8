"""Framing is a plain split into lines, whatever the bytes and wherever the blocks are cut."""

import re
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nw_platform.errors import ConfigError
from nw_platform.parsing import line_framing
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.framing import LineFramer, make_framer

BOM = b"\xef\xbb\xbf"

# Bytes that matter to framing are common, so that their neighbourhoods are met often.
CONTENT = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"[a", b" at b", b"\x00", b"\xff", BOM, b"x" * 30]), max_size=40
).map(b"".join)
CUTS = st.lists(st.integers(0, 300), max_size=8)


def blocks(content: bytes, cuts: list[int]) -> list[bytes]:
    bounds = sorted({0, len(content), *(min(c, len(content)) for c in cuts)})
    return [content[a:b] for a, b in pairwise(bounds)]


def framed(framer, content: bytes, cuts: list[int], *, whole: bool = True, settled: bool = False):
    parts = [framer.feed(block) for block in blocks(content, cuts)]
    parts.append(framer.finish(whole=whole, settled=settled))
    return [
        row
        for part in parts
        for row in zip(part.value.to_pylist(), part.start.to_pylist(), part.end.to_pylist(), strict=True)
    ]


def without_ending(piece: bytes) -> bytes:
    if piece.endswith(b"\r\n"):
        return piece[:-2]
    return piece.removesuffix(b"\n")


def plainly(content: bytes, *, start: bytes | None = None, whole: bool = True, at: int = 0):
    """The same in plain Python: [(value, start, end)]."""
    lines = [line for line in re.split(rb"(?<=\n)", content) if line]
    if not whole and lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    pieces: list[bytes] = []
    for line in lines:
        if start is not None and pieces and not re.search(start, without_ending(line)):
            pieces[-1] += line
        else:
            pieces.append(line)
    rows, position = [], at
    for piece in pieces:
        value = without_ending(piece)
        rows.append((value.removeprefix(BOM) if position == 0 else value, position, position + len(piece)))
        position += len(piece)
    return rows


@given(content=CONTENT, cuts=CUTS, whole=st.booleans(), at=st.sampled_from([0, 7, 1 << 40]))
@example(content=b"a\r\nb", cuts=[2], whole=True, at=0)
@example(content=BOM + b"a\n", cuts=[1, 2], whole=True, at=0)
def test_lines_are_those_of_a_plain_split_wherever_blocks_are_cut(content, cuts, whole, at):
    framer = LineFramer(position=at)
    rows = framed(framer, content, cuts, whole=whole)
    assert rows == plainly(content, whole=whole, at=at)
    assert framer.position == (rows[-1][2] if rows else at)


@given(content=CONTENT, cuts=CUTS)
def test_lines_up_to_the_next_start_are_one_record(content, cuts):
    rows = framed(LineFramer(start_pattern=r"^\["), content, cuts)
    assert rows == plainly(content, start=rb"^\[")


@given(content=CONTENT, cuts=CUTS)
def test_of_a_multi_line_stream_that_goes_on_the_last_record_waits(content, cuts):
    framer = LineFramer(start_pattern=r"^\[")
    rows = framed(framer, content, cuts, whole=False)
    lines = plainly(content, whole=False)
    starts = [start for value, start, _ in lines if start == 0 or value.startswith(b"[")]
    assert rows == [row for row in plainly(content, start=rb"^\[") if starts and row[2] <= starts[-1]]
    assert framer.position == (rows[-1][2] if rows else 0)


def test_a_settled_multi_line_record_is_taken_unless_a_line_is_still_being_written():
    assert len(framed(LineFramer(start_pattern="^X"), b"X1\n a\nX2\n b\n", [], whole=False, settled=True)) == 2
    assert len(framed(LineFramer(start_pattern="^X"), b"X1\n a\nX2\n b\nX", [], whole=False, settled=True)) == 1


@given(content=CONTENT, cuts=CUTS, limit=st.integers(1, 20))
def test_a_long_record_is_cut_and_keeps_its_true_positions(content, cuts, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_framing, "MAX_VALUE", limit)
        patch.setattr(line_framing, "_KEPT", limit + 2)
        for start in (None, r"^\["):
            rows = framed(LineFramer(start_pattern=start, position=5), content, cuts)
            expected = plainly(content, start=start and start.encode(), at=5)
            assert rows == [(value[:limit], begin, end) for value, begin, end in expected]


def test_a_line_without_an_end_needs_no_more_memory_than_a_value():
    framer = LineFramer()
    block = b"x" * (4 << 20)
    tracemalloc.start()
    for _ in range(100):
        assert not len(framer.feed(block).value)
    rows = framer.feed(b"end\nnext\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.value.to_pylist() == [b"x" * line_framing.MAX_VALUE, b"next"]
    assert rows.end.to_pylist() == [400 * (1 << 20) + 4, 400 * (1 << 20) + 9]
    assert peak < 6 * line_framing.MAX_VALUE


def test_a_csv_header_is_no_record():
    options = ParseOptions(stream="s", format="csv")
    for content in (b"a,b\r\n1,2\n", BOM + b"a,b\n1,2"):
        for cut in range(len(content)):
            framer = make_framer(options, None, 0)
            rows = framed(framer, content, [cut])
            assert [value for value, _, _ in rows] == [b"1,2"]
            assert (framer.header, framer.skipped_lines) == ("a,b", 1)
            assert rows[0][1:] == (content.index(b"1,2"), len(content))


def test_a_span_behind_the_beginning_has_its_header_given():
    framer = make_framer(ParseOptions(stream="s", format="csv"), "a,b", 4)
    assert [row[0] for row in framed(framer, b"1,2\n", [])] == [b"1,2"]
    assert (framer.header, framer.skipped_lines) == ("a,b", 0)


def test_a_file_of_a_header_only_has_no_record():
    framer = make_framer(ParseOptions(stream="s", format="csv"), None, 0)
    assert framed(framer, b"a,b", []) == []
    assert framer.position == 3
    assert framer.skipped_lines == 1


def test_a_csv_file_may_have_no_header():
    framer = make_framer(ParseOptions(stream="s", format="csv", options={"header": False}), None, 0)
    assert [row[0] for row in framed(framer, b"1,2\n3,4\n", [])] == [b"1,2", b"3,4"]


def test_a_pattern_that_is_none_is_refused():
    options = ParseOptions(stream="app", format="lines", options={"multiline_start": "("})
    with pytest.raises(ConfigError, match="app"):
        make_framer(options, None, 0)


def test_log4j_joins_stack_traces_without_being_told():
    text = b"[2016-12-19 15:59:28,017] WARN a (x)\njava.io.IOException\n at b\n[2016-12-19 15:59:28,018] INFO c (x)\n"
    framer = make_framer(ParseOptions(stream="s", format="log4j"), None, 0)
    assert [value.count(b"\n") for value, _, _ in framed(framer, text, [])] == [2, 0]
