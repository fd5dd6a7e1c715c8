"""Secrets from HashiCorp Vault or OpenBao: log in, read, keep for a short while, renew, log in again.

One client a process (`client`), configured by the usual environment variables (docs/secrets.md). What it may say in an
error is made here, of the address, the path and the kind of failure: never of what the server or its library said.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nw_platform.errors import ConfigError, SecretError
from nw_platform.streams.vault_login import Access, Refusal, Unreachable, VaultOptions

__all__ = ["FRESH_S", "KEPT_S", "Vault", "client"]

FRESH_S: Final = 300.0  # so long a static value is used without asking again: a rotated one arrives within that time
KEPT_S: Final = 86_400.0  # so long the last value of a static secret is used while Vault is down
_LEASE_PART: Final = 2 / 3  # of a lease may pass before it is renewed or the value is read again
_PAUSE_S: Final = 10.0  # after Vault did not answer it is left alone for so long: each caller would wait 5 s
_SHORTEST_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """The content of one path. Not shown: it holds secrets."""

    data: Mapping[str, Any]
    due: float  # when it is to be read again
    end: float  # when it may not be used any more

    def __repr__(self) -> str:
        return "_Kept(**********)"


class Vault:
    """Reads secrets. Safe for threads; values live in memory only.

    Args:
        options: where Vault is and who we are.
        clock: seconds that only grow.
    """

    def __init__(self, options: VaultOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self._clock = clock
        self._access = Access(options, clock)
        self._kept: dict[str, _Kept] = {}
        self._network = threading.Lock()  # one conversation at a time
        self._down: tuple[float, str] | None = None  # since when it does not answer, and what to say of it

    def __repr__(self) -> str:
        return f"Vault({self.options.address})"

    def read(self, path: str, key: str) -> str:
        """The value of `key` at `path`, written as `vault kv get` takes it: `secret/slack`.

        The last value is used while Vault does not answer, until its lease ends (without a lease: a day).

        Raises:
            SecretError: Vault does not answer and there is no value that may still be used; or it refuses.
            ConfigError: the environment does not say how to log in; the secret, or its key, is not there.
        """
        return _text(self._content(path.strip("/")), key, f"vault:{path}#{key}")

    def renew(self) -> float | None:
        """Renew the token, if there is one, two thirds into its time. Seconds until the next time; None: never.

        Never raises: whoever reads next hears what is wrong.
        """
        with self._network:
            if not self._access.is_logged_in:
                return _SHORTEST_S
            try:
                self._access.renew_if_due()
            except (Unreachable, Refusal, ConfigError):
                return _PAUSE_S
            return self._access.seconds_left()

    def _content(self, path: str) -> Mapping[str, Any]:
        kept = self._kept.get(path)
        if kept is not None and self._clock() < kept.due:
            return kept.data
        usable = kept is not None and self._clock() < kept.end
        # Whoever has a value need not wait for the thread that reads the next one.
        if not self._network.acquire(blocking=not usable):
            return kept.data if kept else {}
        try:
            return self._refreshed(path)
        finally:
            self._network.release()

    def _refreshed(self, path: str) -> Mapping[str, Any]:
        """The content, read now if nobody else has done so meanwhile."""
        now = self._clock()
        kept = self._kept.get(path)
        if kept is not None and now < kept.due:
            return kept.data
        try:
            answer = self._asked(path)
        except Unreachable as silent:
            if kept is not None and now < kept.end:
                return kept.data
            self._kept.pop(path, None)
            raise SecretError(
                f"vault {self.options.address}: {silent.reason}, and no value of {path} is kept that may still be "
                "used; start or unseal Vault, or mend VAULT_ADDR; the next tick tries again"
            ) from None
        except Refusal as refused:
            self._kept.pop(path, None)  # what Vault takes away is not used any longer
            raise SecretError(f"vault {self.options.address}: {path}: {refused.reason}") from None
        if answer is None:
            self._kept.pop(path, None)
            raise ConfigError(
                f"vault {self.options.address}: there is nothing at {path}; write the path as `vault kv get` takes it, "
                "without `data/`"
            )
        self._kept[path] = answer
        return answer.data

    def _asked(self, path: str) -> _Kept | None:
        """What Vault says now; nobody is asked again right after there was no answer."""
        if self._down and self._clock() < self._down[0] + _PAUSE_S:
            raise Unreachable(self._down[1])
        try:
            answer = self._access.authorized(lambda: self._ask(path))
        except Unreachable as silent:
            self._down = (self._clock(), silent.reason)
            raise
        self._down = None
        return answer

    def _ask(self, path: str) -> _Kept | None:
        """The content of a path, of whatever engine is mounted there; None: nothing is there."""
        mount, version = self._mount(path)
        where = f"{mount}data/{path.removeprefix(mount)}" if version == 2 else path  # noqa: PLR2004  (KV v2)
        answer = self._access.get(where)
        if answer is None:
            return None
        data = answer.get("data")
        if version == 2:  # noqa: PLR2004  (KV v2)
            data = data.get("data") if isinstance(data, Mapping) else None
        if not isinstance(data, Mapping):
            return None
        return self._timed(data, answer)

    def _timed(self, data: Mapping[str, Any], answer: Mapping[str, Any]) -> _Kept:
        now = self._clock()
        lease = float(answer.get("lease_duration") or 0)
        if answer.get("lease_id"):  # made for us (a database account): it ends with its lease, and reading makes more
            return _Kept(data, now + max(lease * _LEASE_PART, _SHORTEST_S), now + max(lease, _SHORTEST_S))
        # A lease of KV v1 is advice how often to read.
        end = min(lease, KEPT_S) if lease else KEPT_S
        return _Kept(data, now + min(FRESH_S, end), now + end)

    def _mount(self, path: str) -> tuple[str, int]:
        """Where the engine of a path is mounted (`secret/`) and the version of its KV; 0: it is none, or not known."""
        try:
            answer = self._access.get(f"sys/internal/ui/mounts/{path}")
        except Refusal:  # nothing of that mount may be seen: the reading says so
            answer = None
        found = answer.get("data") if answer else None
        if not isinstance(found, Mapping) or not found.get("path"):
            return "", 0
        if found.get("type") not in {"kv", "generic"}:
            return str(found["path"]), 0
        return str(found["path"]), int((found.get("options") or {}).get("version") or 1)


def _text(data: Mapping[str, Any], key: str, reference: str) -> str:
    value = data.get(key)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        raise ConfigError(f"{reference}: the secret has no key {key!r}; `vault kv get` shows those it has")
    raise ConfigError(f"{reference}: the value is {type(value).__name__}, and a text is needed")


_CLIENTS: Final[dict[tuple[int, VaultOptions], Vault]] = {}
_MAKING: Final = threading.Lock()


def client(environ: Mapping[str, str] | None = None) -> Vault:
    """The client of this process for this environment; its token is renewed in the background.

    Raises:
        ConfigError: VAULT_ADDR is not set, or a variable contradicts another.
    """
    options = VaultOptions.of(os.environ if environ is None else environ)
    me = (os.getpid(), options)  # a forked child shares no connection and no lock with its parent
    with _MAKING:
        if me not in _CLIENTS:
            vault = _CLIENTS[me] = Vault(options)
            threading.Thread(target=_keep_renewed, args=(vault,), name="vault-renewal", daemon=True).start()
        return _CLIENTS[me]


def _keep_renewed(vault: Vault) -> None:
    """Renew the token for as long as the process lives, also while nobody reads."""
    never = threading.Event()
    left: float | None = _SHORTEST_S
    while not never.wait(_PAUSE_S if left is None else max(min(left, _PAUSE_S), _SHORTEST_S)):
        left = vault.renew()
