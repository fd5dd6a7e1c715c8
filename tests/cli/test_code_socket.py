"""The socket of the code server: new for every start, under a name that stays and is short."""

from __future__ import annotations

import os
import socket
import tempfile

import pytest

from nw_platform.cli.code_socket import CodeSocket
from nw_platform.errors import UsageError


@pytest.fixture
def place(tmp_path, monkeypatch):
    short = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", short)
    made = CodeSocket.of(tmp_path)
    yield made
    made.close()
    os.rmdir(short)  # noqa: PTH106  (and it is empty)


def listening(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


def greeted(place, server):
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(place.link))
        server.accept()[0].close()


def test_a_server_that_ends_late_takes_only_its_own_socket_along(place):
    place.open()
    first_path = place.renew()
    with listening(first_path) as first:
        greeted(place, first)
        with listening(place.renew()) as second:
            greeted(place, second)
            first_path.unlink()  # as a gRPC server does when it ends
            greeted(place, second)


def test_opening_leaves_nothing_of_the_one_before(place):
    place.open()
    place.renew().write_text("")
    place.told.write_text("[]")
    place.open()
    assert list(place.folder.iterdir()) == []
    assert place.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_was_cleaned_away_is_made_again(place):
    place.open()
    place.close()
    with listening(place.renew()) as server:
        greeted(place, server)


@pytest.mark.parametrize("home", ["/x" * 400, "/with some spaces/and: {braces}"])
def test_no_path_is_longer_than_the_kernel_takes(home, monkeypatch):
    from pathlib import Path  # noqa: PLC0415  (only here)

    for base in ("/tmp", "/" + "t" * 200):  # noqa: S108  (nothing is written)
        monkeypatch.setattr(tempfile, "tempdir", base)
        found = CodeSocket.of(Path(home))
        assert len(os.fsencode(found.folder / "code-4194304-9999.sock")) <= 107
        assert found == CodeSocket.of(Path(home))


def test_what_is_in_the_way_is_named(place):
    place.folder.write_text("")
    with pytest.raises(UsageError, match=r"nw-\d+-\w+ for sockets cannot be made .*TMPDIR"):
        place.open()
    place.folder.unlink()
