"""What the first bytes of a stream say of it: the names in a csv header, whatever the bytes around it are."""

from __future__ import annotations

import pytest

from nw_platform.ingest.resolving import resolve
from tests.world import World

TABLE = 'time,"te\nxt",n\n2026-11-20T10:00:01Z,"a\nb",1\n'


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TABLE.encode(), "utf-8"),
        (TABLE.replace("\n", "\r\n").replace("te\r\nxt", "te\nxt").encode(), "utf-8"),
        (b"\xef\xbb\xbf" + TABLE.encode(), "utf-8"),
        (bytes(5000) + TABLE.encode(), "utf-8"),
        (TABLE.encode("utf-16"), "utf-8"),
        (TABLE.encode("utf-16-be"), "utf-16-be"),
        (bytes(5000) + TABLE.encode("utf-16-le"), "utf-16"),
        (TABLE.encode("utf-32"), "utf-32"),
        (b'time,"te\nxt",n', "utf-8"),
    ],
)
def test_the_names_in_a_header_are_those_that_the_framer_reads(tmp_path, content: bytes, encoding: str) -> None:
    declared = World(tmp_path).settings(path="*.csv", format="csv", encoding=encoding).stream("app")
    assert resolve(declared, content).parse_options().options["names"] == ["time", "te\nxt", "n"]


@pytest.mark.parametrize(
    "content", [bytes(5000) + b"time,n\n1795168800,7\n", "time,n\n1795168800,7\n".encode("utf-16")]
)
def test_a_table_behind_a_hole_or_in_utf_16_has_its_columns(tmp_path, content: bytes) -> None:
    world = World(tmp_path)
    world.write("a.csv", content)
    session = world.session(path="*.csv", format="csv")
    world.ingest(session)
    assert world.rows(session, columns="n, reject_reason") == [("7", None)]


JSON = '{"ts":1795168800,"message":"a"}\n{"ts":1795168801,"message":"b"}\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("hole", [8, 5000, 300 << 10, 3 << 20])
def test_a_format_is_found_out_behind_a_hole(tmp_path, encoding: str, hole: int) -> None:
    world = World(tmp_path)
    text = JSON.encode(encoding if encoding != "utf-16" else "utf-16-be")
    world.write("a.log", bytes(hole) + text)
    session = world.session(path="*.log", format="auto", encoding=encoding)
    world.ingest(session)
    assert world.rows(session, columns="message, reject_reason") == [("a", None), ("b", None)]


def test_a_file_that_is_all_hole_decides_nothing(tmp_path) -> None:
    world = World(tmp_path)
    world.write("a.log", bytes(300 << 10))
    session = world.session(path="*.log", format="auto")
    world.ingest(session)
    world.write("a.log", bytes(300 << 10) + JSON.encode())
    world.now += 60_000_000
    world.ingest(session)
    assert world.rows(session, columns="message, reject_reason") == [("a", None), ("b", None)]
