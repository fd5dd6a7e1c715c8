"""Who we are at Vault: where it is, how we log in, and the token while it lasts. The only place that speaks `hvac`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from nw_platform.errors import ConfigError

TIMEOUT_S: Final = 5.0
_LEASE_PART: Final = 2 / 3
_K8S_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  (a path)

_Answer = TypeVar("_Answer")


class Unreachable(Exception):  # noqa: N818  (translated to SecretError by `vault`, which knows what is kept)
    """Vault gave no answer that means anything: down, sealed, standby, overloaded."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Refusal(Exception):  # noqa: N818  (likewise)
    """Vault said no."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VaultOptions:
    """What the environment says. Shows nothing of it but the address."""

    address: str
    namespace: str | None = field(default=None, repr=False)
    verify: str | bool = field(default=True, repr=False)
    certificate: tuple[str, str] | None = field(default=None, repr=False)
    method: str = "token"  # approle, kubernetes, token
    mount: str = field(default="", repr=False)
    role: str = field(default="", repr=False)  # a role id (approle), a role's name (kubernetes)
    role_file: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)  # a secret id (approle), the token itself (token)
    secret_file: str = field(default="", repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> VaultOptions:
        """The options in an environment: of AppRole, Kubernetes and a token the first that is configured.

        Raises:
            ConfigError: VAULT_ADDR is missing or no address, or nothing says how to log in.
        """

        def given(name: str) -> str:
            return environ.get(name, "").strip()

        address = given("VAULT_ADDR").rstrip("/")
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            what = "is not set" if not address else "is no address like https://vault:8200 (not shown)"
            raise ConfigError(f"the environment variable VAULT_ADDR {what}, and the configuration takes secrets there")
        common: dict[str, Any] = {"address": address, "namespace": given("VAULT_NAMESPACE") or None}
        common["verify"] = given("VAULT_CACERT") or given("VAULT_CAPATH") or True
        if given("VAULT_CLIENT_CERT") and given("VAULT_CLIENT_KEY"):
            common["certificate"] = (given("VAULT_CLIENT_CERT"), given("VAULT_CLIENT_KEY"))
        if given("VAULT_ROLE_ID") or given("VAULT_ROLE_ID_FILE"):
            return cls(
                **common,
                method="approle",
                mount=given("VAULT_APPROLE_MOUNT") or "approle",
                role=given("VAULT_ROLE_ID"),
                role_file=given("VAULT_ROLE_ID_FILE"),
                secret=given("VAULT_SECRET_ID"),
                secret_file=given("VAULT_SECRET_ID_FILE"),
            )
        if given("VAULT_K8S_ROLE"):
            return cls(
                **common,
                method="kubernetes",
                mount=given("VAULT_K8S_MOUNT") or "kubernetes",
                role=given("VAULT_K8S_ROLE"),
                secret_file=given("VAULT_K8S_TOKEN_FILE") or _K8S_TOKEN,
            )
        token_file = given("VAULT_TOKEN_FILE") or str(Path(environ.get("HOME") or Path.home()) / ".vault-token")
        if not given("VAULT_TOKEN") and not given("VAULT_TOKEN_FILE") and not Path(token_file).exists():
            raise ConfigError(
                "VAULT_ADDR is set, but nothing says how to log in: set VAULT_TOKEN (or VAULT_TOKEN_FILE), "
                "VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_K8S_ROLE"
            )
        return cls(**common, secret=given("VAULT_TOKEN"), secret_file=token_file)


@dataclass(slots=True)
class _Token:
    text: str = field(repr=False)
    got: float
    seconds: float  # 0: it never ends, or nobody knows
    renewable: bool

    def seconds_left(self, now: float) -> float | None:
        """Until it is time to renew it; None: never."""
        return self.got + self.seconds * _LEASE_PART - now if self.seconds else None


class Access:
    """A logged-in conversation with Vault. For one thread at a time."""

    def __init__(self, options: VaultOptions, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock
        self._token: _Token | None = None
        self._client: Any = None

    def authorized(self, ask: Callable[[], _Answer]) -> _Answer:
        """What `ask` returns, logged in; once more after a new login if Vault refuses.

        Raises:
            Unreachable: no answer.
            Refusal: Vault refuses the login, or us what we ask.
            ConfigError: a file that we log in with cannot be read.
        """
        self.renew_if_due()
        before = self._token
        try:
            return ask()
        except Refusal:
            # The token may have ended or been revoked: a new one tells.
            self._login()
            if self._token is not None and before is not None and self._token.text == before.text:
                raise
            return ask()

    def renew_if_due(self) -> None:
        """Log in if we are not; renew the token before it ends, and log in again if that cannot be. Raises as above."""
        if self._token is None:
            self._login()
            return
        left = self._token.seconds_left(self._clock())
        if left is None or left > 0:
            return
        if not self._token.renewable:
            self._login()
            return
        try:
            auth = self._call(lambda: self._hvac().auth.token.renew_self()["auth"])
            if not isinstance(auth, Mapping):
                raise Refusal("the token cannot be renewed")  # noqa: TRY301  (as when Vault says so)
            self._accept(auth, self._token.text)
        except Refusal:
            self._login()
        else:
            # At its longest life a token is renewed for less and less: log in anew while it still works.
            if self._options.method != "token" and self._token.seconds < 2 * TIMEOUT_S:
                self._login()

    @property
    def is_logged_in(self) -> bool:
        """Whether there is a token, however old."""
        return self._token is not None

    def seconds_left(self) -> float | None:
        """Until the token is to be renewed; None: never."""
        return None if self._token is None else self._token.seconds_left(self._clock())

    def get(self, path: str) -> Mapping[str, Any] | None:
        """The answer to a GET of a path; None: nothing is there. Raises as `authorized`."""
        answer = self._call(lambda: self._hvac().adapter.get(f"/v1/{quote(path, safe='/')}"))
        if answer is not None and not isinstance(answer, Mapping):
            raise Unreachable("what answers there is no Vault")
        return answer

    def _login(self) -> None:
        """Get a token.

        Raises:
            Unreachable, Refusal, ConfigError: see `authorized`.
        """
        options = self._options
        if options.method == "token":
            self._look_up(options.secret or _content(options.secret_file, "VAULT_TOKEN_FILE"))
            return
        if options.method == "approle":
            role = options.role or _content(options.role_file, "VAULT_ROLE_ID_FILE")
            secret = options.secret or (options.secret_file and _content(options.secret_file, "VAULT_SECRET_ID_FILE"))
            login = self._bare().auth.approle.login
            arguments = {"role_id": role, "secret_id": secret or None}
        else:
            login = self._bare().auth.kubernetes.login
            arguments = {"role": options.role, "jwt": _content(options.secret_file, "VAULT_K8S_TOKEN_FILE")}
        try:
            answer = self._call(lambda: login(**arguments, use_token=False, mount_point=options.mount))
        except Refusal as refused:
            raise Refusal(
                f"the login by {options.method} at auth/{options.mount} was refused ({refused.reason}); "
                "see that the role is there and its credentials are valid"
            ) from None
        auth = answer.get("auth") if isinstance(answer, Mapping) else None
        if not auth:
            raise Refusal(f"there is no login by {options.method} at auth/{options.mount}")
        self._accept(auth, auth["client_token"])

    def _look_up(self, text: str) -> None:
        """Take a token that somebody gave us, and find out how long it lasts."""
        self._token = _Token(text, self._clock(), 0.0, renewable=False)
        self._client = None
        try:
            answer = self._call(self._hvac().auth.token.lookup_self)
        except Refusal:
            return  # its policy may not allow that; if it is invalid the reading is refused
        data = answer.get("data", {}) if isinstance(answer, Mapping) else {}
        self._token = _Token(text, self._clock(), float(data.get("ttl") or 0), bool(data.get("renewable")))

    def _accept(self, auth: Mapping[str, Any], text: str) -> None:
        seconds = float(auth.get("lease_duration") or 0)
        self._token = _Token(text, self._clock(), seconds, bool(auth.get("renewable")))
        self._client = None

    def _hvac(self) -> Any:  # noqa: ANN401  (hvac ships no types)
        """The client with our token."""
        if self._client is None:
            self._client = self._bare()
            self._client.token = self._token.text if self._token else None
        return self._client

    def _bare(self) -> Any:  # noqa: ANN401  (hvac ships no types)
        """A client without a token."""
        try:
            import hvac  # noqa: PLC0415  (slow, and only who uses Vault needs it)
        except ModuleNotFoundError:
            raise ConfigError("secrets from Vault need the Python package hvac: pip install hvac") from None
        options = self._options
        made = hvac.Client(
            url=options.address,
            token="",  # it would look for one itself
            cert=options.certificate,
            verify=options.verify,
            timeout=TIMEOUT_S,
            namespace=options.namespace,
        )
        made.session.rebuild_auth = _refuse_downgrade
        return made

    def _call(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401  (hvac ships no types)
        """Call hvac. Its exceptions hold addresses, bodies and headers, and stay here; None: nothing is there."""
        from hvac import exceptions  # noqa: PLC0415  (slow, and only who uses Vault needs it)

        try:
            return ask()
        except exceptions.InvalidPath:
            return None
        except (exceptions.Forbidden, exceptions.Unauthorized):
            raise Refusal("permission denied; see the policies of the token or role") from None
        except exceptions.InvalidRequest:
            raise Refusal("the request was refused as invalid") from None
        except (exceptions.VaultError, OSError, ValueError, KeyError, TypeError) as error:
            raise Unreachable(_silence(error)) from None


def _silence(error: Exception) -> str:
    """Why there was no answer, in words of our own."""
    import requests  # noqa: PLC0415  (slow, and only who uses Vault needs it)
    from hvac import exceptions  # noqa: PLC0415  (slow, and only who uses Vault needs it)

    told: tuple[tuple[type[Exception], str], ...] = (
        (exceptions.VaultDown, "it is sealed or in standby (503)"),
        (exceptions.RateLimitExceeded, "it is overloaded or in standby (429)"),
        (requests.exceptions.SSLError, "its certificate is not accepted; see VAULT_CACERT"),
        (requests.exceptions.Timeout, f"no answer in {TIMEOUT_S:.0f} s"),
        (requests.exceptions.ConnectionError, "no connection"),
    )
    other = f"no conversation is possible ({type(error).__name__})"
    return next((reason for kind, reason in told if isinstance(error, kind)), other)


def _refuse_downgrade(prepared: Any, response: Any) -> None:  # noqa: ANN401  (types of requests)
    """A redirect (a standby names the active node) must not carry the token from https to http."""
    if urlsplit(response.url).scheme == "https" and urlsplit(prepared.url).scheme != "https":
        raise ValueError("a redirect from https to http")


def _content(path: str, variable: str) -> str:
    """A file that we log in with: read each time, because it is replaced."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"the file {path} ({variable}), to log in at Vault, cannot be read: {reason}") from None
