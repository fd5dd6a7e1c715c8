import pytest

from nw_platform.errors import ConfigError
from nw_platform.settings import parse
from nw_platform.streams.secrets import Secret, SecretUrl, is_reference, looks_secret, resolve


def test_an_environment_variable():
    assert resolve("env:TOKEN", {"TOKEN": "s3cret"}) == "s3cret"


def test_a_missing_one_is_named():
    with pytest.raises(ConfigError, match="TOKEN is not set"):
        resolve("env:TOKEN", {})


def test_a_file_without_its_last_line_break(tmp_path):
    (tmp_path / "token").write_text("s3cret \n")
    assert resolve(f"file:{tmp_path}/token") == "s3cret "


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        resolve(f"file:{tmp_path}/token")


@pytest.mark.parametrize("text", ["", "plain", "http://x", "env:", "env:1A", "env:A B", "vault:a", "vault:#b", "file:"])
def test_what_is_no_reference(text):
    assert not is_reference(text)
    with pytest.raises(ConfigError):
        resolve(text, {})


@pytest.mark.parametrize("secret", [Secret("env:TOKEN"), SecretUrl("https://hooks/T0/B1")])
def test_a_secret_shows_itself_as_stars_everywhere(secret):
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        repr({"a": [secret]}),
        " ".join(map(str, [secret])),
    ):
        assert "*****" in text
        assert "TOKEN" not in text
        assert "hooks" not in text


def test_an_address_is_itself_or_a_reference():
    assert SecretUrl("https://hooks/T0/B1").resolve({}) == "https://hooks/T0/B1"
    assert SecretUrl("env:HOOK").resolve({"HOOK": "https://x"}) == "https://x"


@pytest.mark.parametrize(
    "key", ["password", "sasl.password", "ssl.key.password", "aws_secret_access_key", "token", "api-key", "key"]
)
def test_keys_that_hold_secrets(key):
    assert looks_secret(key)


@pytest.mark.parametrize("key", ["security.protocol", "user", "group.id", "keyboard", "endpoint_url", "key_coverage"])
def test_keys_that_do_not(key):
    assert not looks_secret(key)


def test_settings_resolve_secrets_late_and_never_show_them():
    text = """
    sources: {k: {kind: kafka, bootstrap: b, options: {sasl.password: "env:KP", retries: 3, "x": "env:X"}}}
    streams: {app: {source: k, topic: t}}
    alerts: {channels: {ops: {kind: slack, url: "https://hooks.slack.com/services/T00/B00/hunter2"}}}
    """
    settings = parse(text, base="/", origin="nw.yaml")  # KP and X are not set: nothing was resolved
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.alerts.model_dump_json()
    source = settings.sources["k"]
    assert source.resolved_options({"KP": "pw", "X": "y"}) == {"sasl.password": "pw", "retries": 3, "x": "y"}
    with pytest.raises(ConfigError, match="KP is not set"):
        source.resolved_options({})
