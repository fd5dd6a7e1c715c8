"""The pieces of evidence: hashes of a content's beginning and of the bytes before a position, and file system ids.

Hashes are BLAKE2b with 128 bits, in hex behind `b:`, over the unpacked bytes. The beginning grows with the content up
to `HEAD` bytes, in powers of two, so that a file can be looked up among many with a dozen hashes.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
from collections.abc import Callable
from typing import Final

from nw_platform.files.identity import Id

HEAD: Final = 1024  # bytes of a content's beginning that are hashed
TAIL: Final = 1024  # bytes before the position read that are hashed

_STATX_SIZE: Final = 256
_AT_FDCWD: Final = -100
_STATX_BTIME: Final = 0x800
_MASK_AT, _BIRTH_AT = 0, 80  # in struct statx, see statx(2)


def head_length(available: int) -> int:
    """How many first bytes are hashed of a content of which `available` are known: a power of two, at most `HEAD`."""
    return min(HEAD, 1 << (available.bit_length() - 1)) if available > 0 else 0


def hash_of(data: bytes) -> str:
    """The hash of a beginning, or of the bytes before a position."""
    return "b:" + hashlib.blake2b(data, digest_size=16).hexdigest()


def file_id(path: str, status: os.stat_result) -> str:
    """The id of a local file: `device:inode:birth`, birth in nanoseconds, 0 where the file system does not know it."""
    return f"{status.st_dev}:{status.st_ino}:{_birth(path, status)}"


def compare_ids(known: str, found: str) -> Id:
    """Compare two ids of one file system. An id without colons (HDFS, object stores) is equal or not.

    A device's number may change when the machine starts again. So a file with another device, but the same inode and
    birth, is the same file.
    """
    if not known or not found:
        return Id.UNKNOWN
    if known == found and not known.endswith(":0"):
        return Id.SAME
    if ":" not in known or ":" not in found:
        return Id.OTHER
    known_device, known_inode, known_birth = known.split(":")
    device, inode, birth = found.split(":")
    if known_inode != inode:
        return Id.OTHER
    if "0" in {known_birth, birth}:
        return Id.NUMBER if device == known_device or "0" in {device, known_device} else Id.OTHER
    return Id.SAME if known_birth == birth else Id.REUSED


def _birth(path: str, status: os.stat_result) -> int:
    birth = getattr(status, "st_birthtime_ns", None) or int(getattr(status, "st_birthtime", 0) * 1_000_000_000)
    if birth:
        return int(birth)
    call = _statx()
    if call is None:
        return 0
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    if call(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer):
        return 0
    mask = int.from_bytes(buffer.raw[_MASK_AT : _MASK_AT + 4], "little")
    seconds = int.from_bytes(buffer.raw[_BIRTH_AT : _BIRTH_AT + 8], "little", signed=True)
    nanoseconds = int.from_bytes(buffer.raw[_BIRTH_AT + 8 : _BIRTH_AT + 12], "little")
    return seconds * 1_000_000_000 + nanoseconds if mask & _STATX_BTIME else 0


@functools.cache
def _statx() -> Callable[..., int] | None:
    """The system call that tells when a file was born, which `os.stat` does not; None where there is none."""
    try:
        call = ctypes.CDLL(None).statx
    except (AttributeError, OSError, TypeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    call.restype = ctypes.c_int
    found: Callable[..., int] = call
    return found
