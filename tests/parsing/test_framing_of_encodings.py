"""Framing where bytes are not lines at first sight: holes of NULs, UTF-16 and UTF-32, csv with line ends in quotes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.framing import make_framer
from nw_platform.parsing.holes import HOLE
from nw_platform.parsing.registry import make_format

CUTS = st.lists(st.integers(0, 400), max_size=6)


def options(name: str = "lines", **more) -> ParseOptions:
    return ParseOptions("s", name, late_after_us=None, **more)


def framed(framer, content: bytes, cuts=(), *, whole: bool = True, settled: bool = False):
    """[(value, start, end)] of a content fed in blocks."""
    bounds = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    parts = [framer.feed(content[a:b]) for a, b in pairwise(bounds)]
    parts.append(framer.finish(whole=whole, settled=settled))
    columns = [(part.value.to_pylist(), part.start.to_pylist(), part.end.to_pylist()) for part in parts]
    return [row for column in columns for row in zip(*column, strict=True)]


class TestHoles:
    def test_a_line_behind_a_hole_is_a_record_at_its_true_place(self):
        hole = bytes(300 << 10)
        content = b"a\n" + hole + b"b1\nb2\n"
        framer = make_framer(options(), None, 0)
        at = 2 + len(hole)
        rows = framed(framer, content, [1, 2, 3, 70_000, 200_000, at])
        assert rows == [(b"a", 0, 2), (b"b1", at, at + 3), (b"b2", at + 3, at + 6)]
        assert (framer.position, framer.skipped_bytes) == (len(content), len(hole))

    def test_a_line_that_a_hole_breaks_ends_there(self):
        hole = bytes(HOLE)
        framer = make_framer(options(), None, 0)
        rows = framed(framer, b"x\nhalf" + hole + b"next\ny" + hole + b"\nz" + hole)
        assert [value for value, _, _ in rows] == [b"x", b"half", b"next", b"y", b"z"]
        assert rows[2][1:] == (6 + HOLE, 11 + HOLE)
        assert framer.position == 6 + 5 + 1 + 2 + 3 * HOLE
        assert framer.skipped_bytes == 3 * HOLE

    def test_nuls_inside_a_line_stay(self):
        content = b"a\0\0b\n" + b"c" + bytes(HOLE - 1) + b"d\n\0f\ne\0"
        framer = make_framer(options(), None, 0)
        assert [value for value, _, _ in framed(framer, content)] == content.split(b"\n")
        assert framer.skipped_bytes == 0

    def test_nuls_at_the_end_wait_while_the_file_may_be_filled(self):
        framer = make_framer(options(), None, 0)
        assert framed(framer, b"a\n" + bytes(9000), whole=False, settled=True) == [(b"a", 0, 2)]
        assert framer.position == 2
        framer = make_framer(options(), None, 2)
        assert framed(framer, bytes(9000)) == []
        assert framer.position == 9002

    def test_a_gigabyte_of_hole_needs_no_memory(self):
        framer = make_framer(options(), None, 0)
        block = bytes(8 << 20)
        for _ in range(128):
            assert not len(framer.feed(block).value)
        rows = framer.feed(b"end\n")
        assert rows.value.to_pylist() == [b"end"]
        assert rows.start.to_pylist() == [1 << 30]

    @settings(max_examples=60, deadline=None)
    @given(
        pieces=st.lists(
            st.sampled_from([b"a", b"\n", b"\r\n", b"\0", bytes(HOLE), bytes(HOLE - 1), b"bc"]), max_size=12
        ),
        cuts=st.lists(st.integers(0, 20_000), max_size=6),
        kind=st.sampled_from(["lines", "csv", "log4j"]),
    )
    def test_blocks_change_nothing_and_no_byte_but_nuls_is_lost(self, pieces, cuts, kind):
        content = b"".join(pieces)
        own = options(kind, columns={"a": "string"}, options={"header": False} if kind == "csv" else {})
        framer = make_framer(own, None, 0)
        once = framed(framer, content)
        again = make_framer(own, None, 0)
        assert framed(again, content, cuts) == once
        assert (again.position, again.skipped_bytes) == (framer.position, framer.skipped_bytes)
        assert framer.position == len(content)
        said = b"".join(value for value, _, _ in once)
        assert said.replace(b"\0", b"").replace(b"\r\n", b"").replace(b"\n", b"") == (
            content.replace(b"\0", b"").replace(b"\r\n", b"").replace(b"\n", b"")
        )
        assert all(before[2] <= after[1] for before, after in pairwise(once))
        # Each record lies where it says: read alone, it is the same.
        for value, start, end in once:
            assert [row[0] for row in framed(make_framer(own, None, start + 1), content[start:end])][:1] == [value]


WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
TEXT = "first ਊ\n\u0a0a second\r\n\nthird \U00010a0a é\nlast"


class TestWideEncodings:
    @pytest.mark.parametrize("encoding", WIDE)
    @pytest.mark.parametrize("declared", ["that", "family", "nothing"])
    @pytest.mark.parametrize("mark", [True, False])
    def test_lines_are_those_of_the_text(self, make_rows, encoding, declared, mark):
        if declared == "nothing" and not mark:
            return
        content = ("\ufeff" * mark + TEXT).encode(encoding)
        name = {"that": encoding, "family": encoding[:6], "nothing": "utf-8"}[declared]
        own = options(encoding=name)
        wanted = framed(make_framer(own, None, 0), content)
        for cuts in ([1], [2, 3], [5, 6, 7, 9, 11], list(range(1, 60))):
            assert framed(make_framer(own, None, 0), content, cuts) == wanted
        rows = make_format(own).parse(make_rows([value for value, _, _ in wanted])).to_pylist()
        assert [row["message"] for row in rows] == ["first ਊ", "\u0a0a second", "", "third \U00010a0a é", "last"]
        assert {row["reject_reason"] for row in rows} == {None}
        assert wanted[-1][2] == len(content)

    @pytest.mark.parametrize("encoding", WIDE)
    def test_a_span_that_does_not_see_the_beginning_is_read_by_its_header(self, make_rows, encoding):
        content = ("\ufeffts,n\n2026-11-20T10:00:00Z,ä\n2026-11-20T10:00:01Z,ö\n").encode(encoding)
        own = options("csv")
        first = make_framer(own, None, 0)
        cut = content.index("\n".encode(encoding), 40 * len("x".encode(encoding)) // 2) + len("x".encode(encoding))
        before = framed(first, content[:cut])
        second = make_framer(own, first.header, cut)
        after = framed(second, content[cut:])
        assert second.header == first.header
        form = make_format(own)
        rows = form.parse(make_rows([value for value, _, _ in before + after]), second.header).to_pylist()
        assert [row["extra"] for row in rows] == [
            '{"ts":"2026-11-20T10:00:00Z","n":"ä"}',
            '{"ts":"2026-11-20T10:00:01Z","n":"ö"}',
        ]
        assert after[0][1] == cut

    def test_multi_line_records_and_nuls_of_utf_16(self, make_rows):
        content = "[a]\nmore\n[b]\0x\n".encode("utf-16")
        own = options(encoding="utf-16", options={"multiline_start": r"^\["})
        rows = framed(make_framer(own, None, 0), content, [3, 9])
        parsed = make_format(own).parse(make_rows([value for value, _, _ in rows])).to_pylist()
        assert [row["message"] for row in parsed] == ["[a]\nmore", "[b]\0x"]

    def test_a_mark_of_utf_8_is_no_part_of_the_first_field(self):
        for encoding in ("utf-8", "utf-8-sig"):
            framer = make_framer(options("csv", encoding=encoding), None, 0)
            assert framed(framer, b"\xef\xbb\xbfts,n\n1,2\n", [1, 2]) == [(b"1,2", 8, 12)]
            assert framer.header == "ts,n"

    @pytest.mark.parametrize("encoding", ["cp037", "cp500", "hz", "iso2022_kr", "punycode", "unicode_escape"])
    def test_text_that_cannot_be_cut_into_lines_is_refused(self, encoding):
        with pytest.raises(ConfigError, match="encoding"):
            make_framer(options(encoding=encoding), None, 0)

    @pytest.mark.parametrize("encoding", ["utf-7", "shift_jis", "gb18030", "big5", "iso2022_jp", "cp1252", "euc_kr"])
    def test_other_encodings_are_cut_at_their_line_ends(self, make_rows, encoding):
        text = {"cp1252": "é", "euc_kr": "한"}.get(encoding, "日本")
        own = options(encoding=encoding)
        rows = framed(make_framer(own, None, 0), f"{text}\n{text} x\n".encode(encoding))
        parsed = make_format(own).parse(make_rows([value for value, _, _ in rows])).to_pylist()
        assert [row["message"] for row in parsed] == [text, f"{text} x"]


class TestCsvQuotes:
    def rows(self, content: bytes, cuts=(), position: int = 0, **more):
        return framed(make_framer(options("csv", **more), "a,b,c", position), content, cuts)

    def values(self, content: bytes, **more) -> list[bytes]:
        return [value for value, _, _ in self.rows(content, **more)]

    def test_a_line_end_in_quotes_is_part_of_the_value(self, make_rows):
        content = b'name,note,n\nann,"line one\nx,y,z\nlast",1\nbob,ok,2\n'
        for cuts in ([], [20], [13, 26, 32, 40], range(len(content))):
            framer = make_framer(options("csv"), None, 0)
            rows = framed(framer, content, cuts)
            assert [value for value, _, _ in rows] == [b'ann,"line one\nx,y,z\nlast",1', b"bob,ok,2"]
            assert [row[1:] for row in rows] == [(12, 40), (40, 49)]
        parsed = make_format(options("csv")).parse(make_rows([row[0] for row in rows]), framer.header).to_pylist()
        assert [row["reject_reason"] for row in parsed] == [None, None]
        assert parsed[0]["extra"] == '{"name":"ann","note":"line one\\nx,y,z\\nlast","n":"1"}'

    def test_line_ends_of_windows_doubled_quotes_and_headers_in_quotes(self):
        assert self.values(b'1,"a\r\n""b"" \r\n,c",2\r\n3,4,5\r\n', position=9) == [
            b'1,"a\r\n""b"" \r\n,c",2',
            b"3,4,5",
        ]
        framer = make_framer(options("csv"), None, 0)
        assert framed(framer, b'"a\nb",c\n1,2\n') == [(b"1,2", 8, 12)]
        assert framer.header == '"a\nb",c'

    def test_other_marks(self):
        marks = {"options": {"delimiter": ";", "quote": "'"}}
        assert self.values(b"1;'a\n\"b\nc';2\n3;4;5\n", position=9, **marks) == [b"1;'a\n\"b\nc';2", b"3;4;5"]
        assert self.values(b'1,"a\nb",2\n', position=9, options={"quote": ""}) == [b'1,"a', b'b",2']

    @pytest.mark.parametrize("stray", [b'1,5" disk,2', b'1,"a"b,2', b'"a" "b,c', b'1,x",2'])
    def test_a_quote_that_opens_no_field_opens_nothing(self, stray):
        assert self.values(stray + b'\n3,4,5\n6,"7\n8",9\n', position=9) == [stray, b"3,4,5", b'6,"7\n8",9']

    def test_a_quote_that_is_never_closed_costs_its_line_only(self):
        lines = [b'bob,"never,1', b"x,y,1", b'eve,"two', b'lines",3', b"end,e,4"]
        joined = [*lines[:2], b'eve,"two\nlines",3', lines[4]]
        assert self.values(b"\n".join(lines) + b"\n", position=9) == joined
        plain = [b'bob,"never,1', *(b"row,%d,1" % number for number in range(5000))]
        content = b"\n".join(plain) + b"\n"
        for cuts in ([], [30], [8000, 16_000]):
            assert [row[0] for row in self.rows(content, cuts, 9, max_record=4096)] == plain
        assert self.values(content, position=9) == plain  # also where the end of the file comes first

    def test_what_is_not_closed_waits_in_a_file_that_grows(self):
        framer = make_framer(options("csv"), "a,b,c", 9)
        assert framed(framer, b'1,2,3\n4,"5\n6,', whole=False) == [(b"1,2,3", 9, 15)]
        assert framer.position == 15
        framer = make_framer(options("csv"), "a,b,c", 15)
        assert [row[0] for row in framed(framer, b'4,"5\n6,7",8\n', whole=False)] == [b'4,"5\n6,7",8']

    def test_utf_16(self):
        content = '\ufeffa,b\n1,"x\ny"\n'.encode("utf-16-be")
        framer = make_framer(options("csv", encoding="utf-16"), None, 0)
        assert [row[0].decode("utf-16") for row in framed(framer, content, [9, 15])] == ['1,"x\ny"']

    @settings(max_examples=120, deadline=None)
    @given(
        lines=st.lists(
            st.sampled_from(
                ['1,"a', 'b",2', "3,4", '"', '""', '"x","y"', 'a"b', '","', '1,"', "", "long,long,long,long"]
            ),
            max_size=14,
        ),
        cuts=CUTS,
        data=st.data(),
    )
    def test_spans_give_the_records_that_the_whole_file_gave(self, lines, cuts, data):
        content = ("\n".join(lines) + data.draw(st.sampled_from(["", "\n"]))).encode()
        once = self.rows(content, position=9, max_record=40)
        assert self.rows(content, cuts, 9, max_record=40) == once
        places = [(9, 9), *((start, end) for _, start, end in once)]
        assert all(before[1] == after[0] for before, after in pairwise(places))
        assert (places[-1][1] if once else 9) == 9 + len(content)
        number = data.draw(st.integers(0, len(once)))
        cut = once[number][1] if number < len(once) else 9 + len(content)
        halves = self.rows(content[: cut - 9], (), 9, max_record=40)
        halves += self.rows(content[cut - 9 :], (), cut, max_record=40)
        assert halves == once


class TestOddEndsAndHolesOfWideText:
    """UTF-16 and UTF-32 that is cut within a character, has holes, or is declared as its neighbour."""

    @pytest.mark.parametrize("declared", ["utf-8", "utf-16", "utf-16-le"])
    @pytest.mark.parametrize("text", ["ab\ncd\n", "ab\ncd"])
    def test_a_file_that_ends_within_a_character_costs_that_line(self, make_rows, declared, text):
        content = "\ufeff".encode("utf-16-le") + text.encode("utf-16-le") + b"x"
        rows = framed(make_framer(options(encoding=declared), None, 0), content)
        assert rows[-1][2] == len(content)
        values = [value for value, _, _ in rows]
        reasons = make_format(options(encoding=declared)).parse(make_rows(values)).column("reject_reason").to_pylist()
        assert reasons == [None] * (len(values) - 1) + ["bad_encoding"]

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    @pytest.mark.parametrize("cuts", [[], [1, 2, 3, 4095, 4097, 8001], [5, 3001]])
    def test_holes_are_no_part_of_a_record(self, make_rows, encoding, cuts):
        first, hole, second = "a\nhalf".encode(encoding), bytes(HOLE + 4), "b\n\0c\nd\0\0e\n".encode(encoding)
        for declared in (encoding, encoding[:6]):
            for content in (hole + second, "\ufeff".encode(encoding) + first + hole + second):
                framer = make_framer(options(encoding=declared), None, 0)
                rows = framed(framer, content, cuts)
                values = [value for value, _, _ in rows]
                parsed = make_format(options(encoding=declared)).parse(make_rows(values))
                begun = [] if content.startswith(hole) else ["a", "half"]
                assert parsed.column("message").to_pylist() == [*begun, "b", "\0c", "d\0\0e"]
                assert framer.skipped_bytes == len(hole)
                assert rows[len(begun)][1:] == (
                    len(content) - len(second),
                    content.index(second) + len("b\n".encode(encoding)),
                )

    @pytest.mark.parametrize("declared", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    def test_the_mark_of_the_file_wins(self, make_rows, declared, encoding):
        content = "\ufeffgr\u00fcn\n\u6f22\n".encode(encoding)
        values = [value for value, _, _ in framed(make_framer(options(encoding=declared), None, 0), content)]
        parsed = make_format(options(encoding=declared)).parse(make_rows(values))
        assert parsed.column("message").to_pylist() == ["gr\u00fcn", "\u6f22"]

    def test_utf_8_with_a_mark_is_utf_8(self, make_rows):
        form = make_format(options(encoding="utf-8-sig"))
        values = ["\ufeffgr\u00fcn".encode(), "\u6f22".encode(), b"x", b"\xff"]
        parsed = form.parse(make_rows(values))
        assert parsed.column("message").to_pylist() == ["gr\u00fcn", "\u6f22", "x", "\ufffd"]
        assert parsed.column("reject_reason").to_pylist() == [None, None, None, "bad_encoding"]
