"""Secrets from a real server: OpenBao speaks Vault's API. Time is a clock of ours; nothing sleeps."""
# ruff: noqa: S106  (what looks like passwords here is known to nobody else)

from __future__ import annotations

import itertools
import threading
import time

import pytest
from vault_server import Answering, VaultServer, service_account_token, token_review

from nw_platform.errors import ConfigError, SecretError
from nw_platform.ingest.session import Session
from nw_platform.settings import parse
from nw_platform.streams import vault_login
from nw_platform.streams.secrets import resolve
from nw_platform.streams.vault import FRESH_S, KEPT_S, Vault
from nw_platform.streams.vault_login import VaultOptions

NUMBERS = itertools.count()


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(vault_server):
    """A secret of the test's own, as `vault kv put` writes it."""
    name = f"secret/app-{next(NUMBERS)}"
    vault_server.put(name, password="first", port=9092, secure=True, nested={"a": 1})
    return name


def options(server, **environ):
    return VaultOptions.of({"VAULT_ADDR": server.address, "HOME": "/nonexistent", **environ})


@pytest.fixture
def by_token(vault_server, clock):
    token, accessor = vault_server.token()
    vault = Vault(options(vault_server, VAULT_TOKEN=token), clock)
    vault.accessor = accessor
    return vault


def test_a_reference_is_resolved_with_the_usual_environment(vault_server, path):
    token, _ = vault_server.token()
    environ = {"VAULT_ADDR": vault_server.address, "VAULT_TOKEN": token}
    assert resolve(f"vault:{path}#password", environ) == "first"


def test_version_2_version_1_and_a_mount_with_a_slash(vault_server, by_token, path):
    vault_server.put("kv1/deep/er/slack", url="https://hooks/1")
    vault_server.put("teams/blue/slack", url="https://hooks/2")
    assert by_token.read(path, "password") == "first"
    assert by_token.read("kv1/deep/er/slack", "url") == "https://hooks/1"
    assert by_token.read("/teams/blue/slack", "url") == "https://hooks/2"


def test_scalars_are_text_and_others_are_refused(by_token, path):
    assert by_token.read(path, "port") == "9092"
    assert by_token.read(path, "secure") == "true"
    with pytest.raises(ConfigError, match="the value is dict, and a text is needed"):
        by_token.read(path, "nested")


def test_what_is_not_there_is_named(vault_server, by_token, path):
    with pytest.raises(ConfigError, match=f"{path}#pasword: the secret has no key 'pasword'"):
        by_token.read(path, "pasword")
    with pytest.raises(ConfigError, match=r"nothing at secret/nowhere.*without `data/`"):
        by_token.read("secret/nowhere", "x")
    vault_server.admin("DELETE", path.replace("secret/", "secret/data/"))
    by_token._clock.now += FRESH_S
    with pytest.raises(ConfigError, match="nothing at"):  # deleted; no last value is used
        by_token.read(path, "password")


def test_what_the_policy_does_not_allow(vault_server, clock):
    vault_server.policy("narrow", "secret/data/allowed")
    vault_server.put("secret/allowed", a="1")
    vault_server.put("secret/denied", a="2")
    token, _ = vault_server.token(policies=["narrow"])
    vault = Vault(options(vault_server, VAULT_TOKEN=token), clock)
    assert vault.read("secret/allowed", "a") == "1"
    with pytest.raises(SecretError, match="secret/denied: permission denied"):
        vault.read("secret/denied", "a")


def test_a_rotated_secret_arrives_within_five_minutes(vault_server, by_token, clock, path):
    assert by_token.read(path, "password") == "first"
    vault_server.put(path, password="second")
    clock.now += FRESH_S - 1
    assert by_token.read(path, "password") == "first"  # nobody was asked
    clock.now += 1
    assert by_token.read(path, "password") == "second"


def test_a_login_by_approle_and_a_new_one_when_the_token_is_revoked(vault_server, clock, path):
    role, secret = vault_server.app_role()
    before = vault_server.accessors()
    vault = Vault(options(vault_server, VAULT_ROLE_ID=role, VAULT_SECRET_ID=secret), clock)
    assert vault.read(path, "password") == "first"
    (accessor,) = vault_server.accessors() - before
    vault_server.revoke(accessor)
    vault_server.put(path, password="second")
    clock.now += FRESH_S
    assert vault.read(path, "password") == "second"
    assert len(vault_server.accessors() - before) == 1  # one login, not one a read


def test_approle_from_files_that_are_read_at_each_login(vault_server, clock, path, tmp_path):
    role, secret = vault_server.app_role("files")
    (tmp_path / "role").write_text(f"{role}\n")
    (tmp_path / "secret").write_text("wrong\n")
    environ = {"VAULT_ROLE_ID_FILE": str(tmp_path / "role"), "VAULT_SECRET_ID_FILE": str(tmp_path / "secret")}
    vault = Vault(options(vault_server, **environ), clock)
    with pytest.raises(SecretError, match="login by approle at auth/approle was refused"):
        vault.read(path, "password")
    (tmp_path / "secret").write_text(f"{secret}\n")
    assert vault.read(path, "password") == "first"
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match=r"VAULT_SECRET_ID_FILE\), to log in at Vault, cannot be read: No such file"):
        Vault(options(vault_server, **environ), clock).read(path, "password")


def test_a_login_by_kubernetes(vault_server, clock, path, tmp_path):
    token = tmp_path / "token"
    token.write_text(service_account_token("neverwinter", "data"))
    with Answering(token_review) as cluster:
        vault_server.admin("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        vault_server.admin("POST", "auth/kubernetes/config", {
            "kubernetes_host": cluster.address, "token_reviewer_jwt": token.read_text(), "disable_local_ca_jwt": True,
            "kubernetes_ca_cert": vault_server.certificate(),
        })  # fmt: skip
        vault_server.admin("POST", "auth/kubernetes/role/nw", {
            "bound_service_account_names": ["neverwinter"], "bound_service_account_namespaces": ["data"],
            "token_policies": ["reader"],
        })  # fmt: skip
        environ = {"VAULT_K8S_ROLE": "nw", "VAULT_K8S_TOKEN_FILE": str(token)}
        assert Vault(options(vault_server, **environ), clock).read(path, "password") == "first"
        token.write_text(service_account_token("somebody", "else"))
        with pytest.raises(SecretError, match="login by kubernetes at auth/kubernetes was refused"):
            Vault(options(vault_server, **environ), clock).read(path, "password")


def test_a_token_in_a_file_that_somebody_replaces(vault_server, clock, path, tmp_path):
    token, accessor = vault_server.token()
    (tmp_path / ".vault-token").write_text(token)
    vault = Vault(options(vault_server, HOME=str(tmp_path)), clock)
    assert vault.read(path, "password") == "first"
    vault_server.revoke(accessor)
    clock.now += FRESH_S
    with pytest.raises(SecretError, match="permission denied"):
        vault.read(path, "password")
    (tmp_path / ".vault-token").write_text(vault_server.token()[0])
    assert vault.read(path, "password") == "first"


def test_the_token_is_renewed_before_it_ends(vault_server, by_token, clock, path):
    by_token.read(path, "password")
    assert "last_renewal_time" not in vault_server.about(by_token.accessor)
    clock.now += 2300
    assert by_token.renew() == pytest.approx(100, abs=5)  # of 2400: two thirds of an hour
    assert "last_renewal_time" not in vault_server.about(by_token.accessor)
    clock.now += 110
    assert by_token.renew() == pytest.approx(2400, abs=5)
    assert vault_server.about(by_token.accessor)["last_renewal_time"] > 0


def test_a_token_that_cannot_be_renewed_is_replaced_by_a_login(vault_server, clock, path):
    role, secret = vault_server.app_role("batch", token_type="batch", token_ttl="10m")
    vault = Vault(options(vault_server, VAULT_ROLE_ID=role, VAULT_SECRET_ID=secret), clock)
    vault.read(path, "password")
    first = vault._access._token.text
    clock.now += 410
    assert vault.renew() == pytest.approx(400, abs=5)
    assert vault._access._token.text != first


def test_a_token_at_the_end_of_its_longest_life_is_replaced_by_a_login(vault_server, clock, path):
    role, secret = vault_server.app_role("short", token_ttl="8s", token_max_ttl="8s")
    vault = Vault(options(vault_server, VAULT_ROLE_ID=role, VAULT_SECRET_ID=secret), clock)
    vault.read(path, "password")
    first = vault._access._token.text
    clock.now += 6
    vault.renew()
    assert vault._access._token.text != first
    assert vault._access.seconds_left() > 4


def test_while_vault_is_sealed_the_last_value_is_used_until_it_expires(vault_server, by_token, clock, path):
    assert by_token.read(path, "password") == "first"
    vault_server.seal()
    try:
        clock.now += KEPT_S - 1
        assert by_token.read(path, "password") == "first"
        with pytest.raises(SecretError, match=r"sealed or in standby \(503\), and no value of secret/other"):
            by_token.read("secret/other", "password")
        clock.now += 1
        with pytest.raises(SecretError, match=f"no value of {path} is kept that may still be used") as failure:
            by_token.read(path, "password")
        assert (failure.value.retriable, failure.value.exit_code) == (True, 1)
    finally:
        vault_server.unseal()
    clock.now += 11
    assert by_token.read(path, "password") == "first"


def test_a_lease_of_its_own_ends_the_value(vault_server, by_token, clock):
    vault_server.put("kv1/leased", password="first", ttl="120s")
    assert by_token.read("kv1/leased", "password") == "first"
    vault_server.seal()
    try:
        clock.now += 121
        with pytest.raises(SecretError, match="no value of kv1/leased is kept"):
            by_token.read("kv1/leased", "password")
    finally:
        vault_server.unseal()


def test_a_server_that_is_gone_is_asked_once_in_ten_seconds(clock, monkeypatch):
    asked = []
    monkeypatch.setattr(vault_login.Access, "renew_if_due", lambda _: asked.append(clock.now) or _gone())
    vault = Vault(VaultOptions.of({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "t"}), clock)
    for _ in range(3):
        with pytest.raises(SecretError, match="no connection, and no value of secret/a"):
            vault.read("secret/a", "k")
    clock.now += 10
    with pytest.raises(SecretError):
        vault.read("secret/b", "k")
    assert asked == [1000.0, 1010.0]


def _gone():
    raise vault_login.Unreachable("no connection")


def test_no_connection_is_one_line(clock):
    vault = Vault(VaultOptions.of({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "t"}), clock)
    with pytest.raises(SecretError, match=r"^vault http://127.0.0.1:1: no connection, and no value of secret/a is .*"):
        vault.read("secret/a", "k")


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (429, {"errors": []}, "429"),
        (500, {"errors": ["internal hvs.SECRET"]}, "no conversation is possible"),
        (200, "<html>hvs.SECRET</html>", "no Vault"),
        (302, "elsewhere", "no conversation is possible|no Vault"),
    ],
)
def test_answers_that_are_none(status, said, reason, clock):
    with Answering(lambda *_: (status, said)) as server:
        vault = Vault(options(server, VAULT_TOKEN="hvs.SECRET"), clock)
        with pytest.raises(SecretError, match=reason) as failure:
            vault.read("secret/a", "k")
    assert "SECRET" not in str(failure.value)


def test_a_slow_server_costs_its_timeout_only(clock, monkeypatch):
    monkeypatch.setattr(vault_login, "TIMEOUT_S", 0.2)
    release = threading.Event()
    with Answering(lambda *_: (200, {"waited": release.wait(30)})) as server:
        vault = Vault(options(server, VAULT_TOKEN="t"), clock)
        started = time.monotonic()
        with pytest.raises(SecretError, match="no answer in"):
            vault.read("secret/a", "k")
        assert time.monotonic() - started < 5
        release.set()


def test_who_has_a_value_does_not_wait_for_who_reads_the_next(by_token, clock, path):
    by_token.read(path, "password")
    clock.now += FRESH_S
    with by_token._network:  # another thread is talking to a slow server
        assert by_token.read(path, "password") == "first"


def test_threads_share_one_login(vault_server, clock, path):
    role, secret = vault_server.app_role("threads")
    before = vault_server.accessors()
    vault = Vault(options(vault_server, VAULT_ROLE_ID=role, VAULT_SECRET_ID=secret), clock)
    found = []
    threads = [threading.Thread(target=lambda: found.append(vault.read(path, "password"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["first"] * 8
    assert len(vault_server.accessors() - before) == 1


def test_certificates_are_checked(vault_server_tls, clock):
    vault_server = vault_server_tls
    environ = {"VAULT_TOKEN": "root-of-this-test"}
    with pytest.raises(SecretError, match="its certificate is not accepted; see VAULT_CACERT"):
        Vault(options(vault_server, **environ), clock).read("secret/a", "k")
    trusted = Vault(options(vault_server, VAULT_CACERT=str(vault_server.ca), **environ), clock)
    with pytest.raises(ConfigError, match="nothing at secret/a"):
        trusted.read("secret/a", "k")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "VAULT_ADDR is not set"),
        ({"VAULT_ADDR": "vault:8200"}, "VAULT_ADDR is no address"),
        ({"VAULT_ADDR": "https://u:hunter2@vault"}, "VAULT_ADDR is no address"),
        ({"VAULT_ADDR": "https://vault:8200", "HOME": "/nonexistent"}, "nothing says how to log in"),
    ],
)
def test_an_environment_that_does_not_do(environ, said):
    with pytest.raises(ConfigError, match=said) as failure:
        resolve("vault:secret/a#k", environ)
    assert "hunter2" not in str(failure.value)


def test_the_order_of_logins():
    environ = {"VAULT_ADDR": "https://v", "VAULT_TOKEN": "t", "VAULT_K8S_ROLE": "nw", "VAULT_ROLE_ID": "r"}
    assert VaultOptions.of(environ).method == "approle"
    del environ["VAULT_ROLE_ID"]
    assert VaultOptions.of(environ).method == "kubernetes"
    del environ["VAULT_K8S_ROLE"]
    assert VaultOptions.of(environ).method == "token"


def test_nothing_shows_a_secret(by_token, path):
    by_token.read(path, "password")
    shown = f"{by_token!r} {by_token.options!r} {by_token._kept!r} {by_token._access._token!r}"
    assert "first" not in shown
    assert by_token._access._token.text not in shown


def test_a_stopped_server_and_a_new_one_at_its_address(tmp_path, clock, vault_server):
    del vault_server  # it is there: a server of our own can be started
    server = VaultServer(tmp_path / "own").start()
    try:
        server.put("secret/a", password="first")
        role, secret = server.app_role()
        vault = Vault(options(server, VAULT_ROLE_ID=role, VAULT_SECRET_ID=secret), clock)
        assert vault.read("secret/a", "password") == "first"
        server.stop()
        clock.now += FRESH_S
        assert vault.read("secret/a", "password") == "first"
        clock.now += KEPT_S
        with pytest.raises(SecretError, match="no connection"):
            vault.read("secret/a", "password")
    finally:
        server.stop()


def test_a_rotated_password_reaches_a_client_that_is_opened_again(vault_server, path, tmp_path, monkeypatch):
    token, _ = vault_server.token()
    monkeypatch.setenv("VAULT_ADDR", vault_server.address)
    monkeypatch.setenv("VAULT_TOKEN", token)
    monkeypatch.setattr("nw_platform.streams.vault.FRESH_S", 0.0)  # as if five minutes passed between two questions
    opened = []
    monkeypatch.setattr("nw_platform.ingest.session.open_source", lambda *_, options, **__: opened.append(options))
    monkeypatch.setattr("nw_platform.ingest.session.Session.forget", lambda self, stream: self._sources.pop(stream))
    text = f"""
    sources: {{k: {{kind: kafka, bootstrap: "b:1", options: {{sasl.password: "vault:{path}#password"}}}}}}
    streams: {{app: {{source: k, topic: t, format: json}}}}
    """
    settings = parse(text, base=str(tmp_path), origin="nw.yaml")
    session = Session(settings)
    session._lanes(settings.stream("app"))
    vault_server.put(path, password="second")
    session._lanes(settings.stream("app"))  # still the same client
    session.forget("app")  # what a tick does with a stream that failed
    session._lanes(settings.stream("app"))
    assert [options["sasl.password"] for options in opened] == ["first", "second"]


def test_an_account_that_was_made_for_us_is_replaced_before_its_lease_ends(clock):
    made, state = itertools.count(1), {"status": 200}

    def answer(_, path, __):
        if path.endswith("/lookup-self"):
            return 200, {"data": {"ttl": 0, "renewable": False}}
        if "ui/mounts" in path:
            return 200, {"data": {"path": "database/", "type": "database", "options": None}}
        lease = {"lease_id": "database/creds/nw/1", "lease_duration": 3600, "renewable": True}
        return state["status"], {**lease, "data": {"password": f"p{next(made)}"}}

    with Answering(answer) as server:
        vault = Vault(options(server, VAULT_TOKEN="t"), clock)
        assert vault.read("database/creds/nw", "password") == "p1"
        clock.now += 2399  # not after five minutes: each reading makes an account
        assert vault.read("database/creds/nw", "password") == "p1"
        clock.now += 2
        assert vault.read("database/creds/nw", "password") == "p2"
        state["status"] = 503
        clock.now += 3599
        assert vault.read("database/creds/nw", "password") == "p2"
        clock.now += 1
        with pytest.raises(SecretError, match="sealed or in standby"):
            vault.read("database/creds/nw", "password")


def test_the_token_is_renewed_also_while_nobody_reads(vault_server, path):
    token, accessor = vault_server.token(ttl="12s")
    environ = {"VAULT_ADDR": vault_server.address, "VAULT_TOKEN": token}
    assert resolve(f"vault:{path}#password", environ) == "first"
    deadline = time.monotonic() + 60
    while "last_renewal_time" not in vault_server.about(accessor):  # fails if the token is gone
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("answer", [(404, {"errors": []}), (200, {"auth": None}), (200, {}), (200, [])])
def test_an_answer_to_a_renewal_that_means_nothing_stops_no_renewal(answer, clock):
    def said(_, path, __):
        if path.endswith("/renew-self"):
            return answer
        if path.endswith("/lookup-self"):
            return 200, {"data": {"ttl": 60, "renewable": True}}
        return 200, {"data": {"key": "value"}}

    with Answering(said) as server:
        vault = Vault(VaultOptions(server.address, secret="t"), clock)
        assert vault.read("other/secret", "key") == "value"
        clock.now += 50
        assert vault.renew() == pytest.approx(40, abs=30)  # asked again soon, whatever that was
        assert vault.read("other/secret", "key") == "value"
