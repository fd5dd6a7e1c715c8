"""File system ids, and hashes that grow with a content."""

from __future__ import annotations

import os

import pytest

from nw_platform.files.evidence import HEAD, compare_ids, file_id, hash_of, head_length
from nw_platform.files.identity import Id


@pytest.mark.parametrize(
    ("known", "found", "answer"),
    [
        ("8:5:100", "8:5:100", Id.SAME),
        ("8:5:100", "9:5:100", Id.SAME),  # the device's number changed with a restart
        ("8:5:100", "8:5:101", Id.REUSED),
        ("8:5:100", "8:6:100", Id.OTHER),
        ("8:5:0", "8:5:0", Id.NUMBER),
        ("8:5:0", "8:5:101", Id.NUMBER),
        ("0:5:0", "8:5:101", Id.NUMBER),  # a receipt from before there were devices in it
        ("8:5:0", "9:5:0", Id.OTHER),
        ("", "8:5:1", Id.UNKNOWN),
        ("8:5:1", "", Id.UNKNOWN),
        ("16392", "16392", Id.SAME),
        ("16392", "16393", Id.OTHER),
    ],
)
def test_ids(known, found, answer):
    assert compare_ids(known, found) is answer


def test_the_id_of_a_file_stays_when_it_is_renamed_and_written_to(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    before = file_id(str(path), path.stat())
    with path.open("ab") as file:
        file.write(b"2")
    os.utime(path, (1, 1))
    path.rename(tmp_path / "b")
    after = file_id(str(tmp_path / "b"), (tmp_path / "b").stat())
    assert after == before
    if not before.endswith(":0"):
        assert compare_ids(before, after) is Id.SAME


def test_a_file_made_anew_has_another_id_even_on_the_same_inode(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    before = file_id(str(path), path.stat())
    if before.endswith(":0"):
        pytest.skip("this file system does not tell when a file was born")
    path.unlink()
    path.write_bytes(b"1")
    assert compare_ids(before, file_id(str(path), path.stat())) in {Id.REUSED, Id.OTHER}


def test_a_file_that_is_not_there_has_no_birth(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    status = path.stat()
    path.unlink()
    assert file_id(str(path), status) == f"{status.st_dev}:{status.st_ino}:0"


def test_the_hashed_beginning_grows_in_powers_of_two():
    assert [head_length(n) for n in (0, 1, 2, 3, 1023, 1024, 5000)] == [0, 1, 2, 2, 512, HEAD, HEAD]
    assert hash_of(b"a") != hash_of(b"b")
    assert hash_of(b"").startswith("b:")
