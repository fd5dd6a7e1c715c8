"""Names that rotation gives, and names that only look alike."""

from __future__ import annotations

import pytest

from nw_platform.files.identity import Name
from nw_platform.files.names import is_rotation_of, relation

ROTATED = [
    "app.log.1", "app.log.2.gz", "app.log-20261128", "app.log-20261128.gz", "app.log-20261128-1764288000",
    "app.log.old",
    "app.log_2026-11-28", "app.log.2026-11-28_13", "app.log.2026-11-28-13-05.zst", "app-2026-11-28.log",
    "app.2026-11-28.log", "app-2026-11-28-1.log.gz", "app-1.log", "app_20261128.log", "app-20261128T101500Z.log",
    "app.old.log", "app-28Nov2026.log", "app-2026-11-28T10:15:00.log.bz2", "old/app.log", "2026-11/app.log",
    "archive/2026/11/app-1.log.gz", "app.log.gz", "app.log.1.xz", "app.log.bak",
]  # fmt: skip
OTHERS = [
    "app-error.log",
    "app.err",
    "myapp.log",
    "app.log.err",
    "err.log",
    "application.log",
    "app-v.log",
    "ap.log",
    "app.1x",
]


@pytest.mark.parametrize("name", ROTATED)
def test_names_of_rotated_files(name):
    assert is_rotation_of("app.log", name)
    assert relation("app.log", name) is Name.ROTATED


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_other_files(name):
    assert relation("app.log", name) is Name.UNRELATED


def test_a_name_is_no_rotation_of_itself():
    assert relation("a/app.log", "a/app.log") is Name.SAME
    assert not is_rotation_of("a/app.log", "a/app.log")


def test_names_without_a_suffix_and_packed_ones():
    assert is_rotation_of("messages", "messages-20261128.gz")
    assert is_rotation_of("messages", "messages.1")
    assert is_rotation_of("app.log.1", "app.log.1.gz")
    assert not is_rotation_of("messages", "messages.errors")
