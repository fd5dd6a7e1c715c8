"""Packed files are told by their first bytes, and names with brackets are names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile

import pytest
import zstandard

from nw_platform.parsing.contract import ParseOptions
from nw_platform.sources.landing.globs import Glob
from nw_platform.sources.landing.unpack import codec_of
from nw_platform.sources.registry import open_source
from tests.sources.lane import Lane

NOW = 1_800_000_000_000_000
OLD = NOW // 1_000_000 - 3600
LINES = [b"line %d" % number for number in range(73)]
TEXT = b"".join(line + b"\n" for line in LINES)


def put(path, content: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (OLD, OLD))


def lane(zone, path: str, *, growing: bool = False, **options) -> Lane:
    return Lane(
        lambda: open_source("landing", url=str(zone), path=path, growing=growing),
        options=ParseOptions(stream="s", format=options.pop("format", "lines"), **options),
    )


def zipped(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.log", text)
    return buffer.getvalue()


def tarred(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("app.log")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


PACK = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda text: lzma.compress(text, format=lzma.FORMAT_ALONE),
    "zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("growing", [False, True])
def test_what_can_be_unpacked_is(tmp_path, suffix, growing):
    put(tmp_path / f"app.log.{suffix}", PACK[suffix](TEXT))
    reader = lane(tmp_path, "app.log*", growing=growing)
    assert reader.drain(NOW) == LINES
    assert reader.problems == []
    assert reader.step(NOW) == []


def test_xz_of_several_streams_with_padding(tmp_path):
    put(tmp_path / "app.log.xz", lzma.compress(TEXT[:50]) + bytes(8) + lzma.compress(TEXT[50:]) + bytes(4))
    assert lane(tmp_path, "*.xz").drain(NOW) == LINES


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_xz_is_named(tmp_path, damage):
    packed = bytearray(lzma.compress(TEXT * 1000))
    if damage == "cut":
        del packed[-40:]
    else:
        packed[len(packed) // 2] ^= 255
    put(tmp_path / "app.log.xz", bytes(packed))
    reader = lane(tmp_path, "*.xz")
    reader.drain(NOW)
    assert [(problem.kind, problem.source) for problem in reader.problems] == [("damaged", "app.log.xz")]


def test_the_first_bytes_say_how_a_packed_file_is_packed(tmp_path):
    put(tmp_path / "app.log.gz", zstandard.ZstdCompressor().compress(TEXT))
    assert lane(tmp_path, "*.gz").drain(NOW) == LINES


REFUSED = {
    "app.log.1": gzip.compress(TEXT),
    "app.log-20261120": bz2.compress(TEXT),
    "app.log.old": lzma.compress(TEXT),
    "app.log.2": PACK["zst"](TEXT),
    "app.log.zip": zipped(TEXT),
    "app.log.lz4": b"\x04\x22\x4d\x18" + bytes(range(256)),
    "app.log.sz": b"\xff\x06\0\0sNaPpY" + bytes(range(256)),
    "app.log.Z": b"\x1f\x9d\x90" + bytes(range(256)),
    "app.log.br": bytes(range(256)),
    "app.log.tar": tarred(TEXT),
    "app.log.tar.gz": gzip.compress(tarred(TEXT)),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("growing", [False, True])
def test_what_cannot_be_unpacked_is_named_and_refused_and_others_go_on(tmp_path, name, growing):
    put(tmp_path / name, REFUSED[name])
    put(tmp_path / "app.log", TEXT)
    reader = lane(tmp_path, "app.log*", growing=growing)
    assert reader.drain(NOW) == LINES
    assert {record.source for record in reader.records} == {"app.log"}
    for _ in range(2):
        reader.step(NOW)
        assert [problem.source for problem in reader.problems] == [name]
        assert name in reader.problems[0].reason


def test_text_that_begins_like_an_archive_is_text(tmp_path):
    for number, first in enumerate((b"BZh9 is a magic", b"PK is dead", b"7zip", b"Rar", b"\x1f", b"\x1f\x8b")):
        put(tmp_path / str(number), first + b"\n")
    assert len(lane(tmp_path, "*").drain(NOW)) == 6


def test_a_growing_file_that_begins_with_few_bytes_is_not_mistaken(tmp_path):
    reader = lane(tmp_path, "app.log", growing=True)
    put(tmp_path / "app.log", b"\x1f")
    assert reader.drain(NOW) == []
    put(tmp_path / "app.log", b"\x1f\x8b\n")
    assert reader.drain(NOW) == [b"\x1f\x8b"]
    put(tmp_path / "app.log", b"\x1f\x8b\nmore\n")
    assert reader.drain(NOW) == [b"more"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_wide_encodings_are_read_packed_too(tmp_path, encoding, suffix):
    text = "\ufeffa ਊ\nb\n" if encoding != "utf-16" else "a ਊ\nb\n"
    content = text.encode(encoding)
    put(tmp_path / f"app.log{suffix}", PACK[suffix[1:]](content) if suffix else content)
    values = lane(tmp_path, "app.log*").drain(NOW)
    assert [value.decode(encoding[:6]) for value in values] == ["a ਊ", "b"]


def test_a_growing_file_of_utf_16_is_read_on_by_the_order_of_its_beginning(tmp_path):
    reader = lane(tmp_path, "app.log", growing=True)
    content = "\ufeffa\nਊ".encode("utf-16-be")
    put(tmp_path / "app.log", content)
    assert reader.drain(NOW) == ["\ufeffa".encode("utf-16-be")]
    put(tmp_path / "app.log", content + "b\n\u0a0a\n".encode("utf-16-be"))
    assert [value.decode("utf-16") for value in reader.drain(NOW)] == ["ਊb", "\u0a0a"]


def test_a_hole_is_counted_in_the_span_and_replay_gives_the_same(tmp_path):
    put(tmp_path / "app.log", bytes(300 << 10) + b"first\n" + b"second\n")
    reader = lane(tmp_path, "app.log", growing=True)
    assert reader.drain(NOW) == [b"first", b"second"]
    (span,) = reader.spans
    assert (span.end, span.bytes, span.state["skipped_bytes"]) == ((300 << 10) + 13, 13, 300 << 10)
    again, _ = reader.read(span)
    assert [(record.value, record.start) for record in again] == [
        (record.value, record.start) for record in reader.records
    ]


def test_csv_values_of_several_lines_in_a_growing_file(tmp_path):
    reader = lane(tmp_path, "a.csv", growing=True, format="csv")
    head = b'name,note,n\nann,"line one\nx,y,z\n'
    put(tmp_path / "a.csv", head)
    os.utime(tmp_path / "a.csv", (NOW // 1_000_000, NOW // 1_000_000))
    assert reader.drain(NOW) == []
    put(tmp_path / "a.csv", head + b'last",1\nbob,ok,2\n')
    assert reader.drain(NOW) == [b'ann,"line one\nx,y,z\nlast",1', b"bob,ok,2"]
    again = [record.value for span in reader.spans for record in reader.read(span)[0]]
    assert again == [record.value for record in reader.records]


@pytest.mark.parametrize("name", ["app[1].log", "a{1}.log", "x[1]/a.log", "b[1].log.gz", "[!a].log", "a[.log"])
def test_a_name_with_brackets_is_a_name(tmp_path, name):
    put(tmp_path / name, gzip.compress(b"x\n") if codec_of(name) else b"x\n")
    assert lane(tmp_path, name).drain(NOW) == [b"x"]
    assert Glob(name).matches(name)


def test_brackets_still_are_sets():
    assert Glob("app[12].log").matches("app1.log")
    assert Glob("app[12].log").matches("app[12].log")
    assert not Glob("app[12].log").matches("app3.log")
    assert not Glob("app[12].log").matches("app[1].log")
    assert Glob("x[1]/*.log").matches("x[1]/a.log")
    assert Glob("{a,b}.log").matches("{a,b}.log")
