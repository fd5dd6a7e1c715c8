"""`nw services`: a real Kafka and a real HDFS on this machine, for development and tests."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from nw_platform.cli.output import Output
from nw_platform.errors import UsageError
from nw_platform.services.artefacts import NAMES, ServiceName, cache_folder, is_fetched, jars
from nw_platform.services.hdfs import Hdfs
from nw_platform.services.java import find_java
from nw_platform.services.kafka import Kafka
from nw_platform.services.service import Service
from nw_platform.settings import load, locate

HELP = (
    "Run a real Apache Kafka and a real HDFS on this machine, for development and tests: not for production.\n"
    "Both listen on 127.0.0.1 only, on free ports that they keep, and run on until `nw services down`.\n"
    "Needs Java 17 or newer, and once Maven (mvn) with access to a Maven repository."
)
EXAMPLE = (
    "nw services up\n  nw services up kafka\n  nw services status --json\n  nw services down\n"
    "  nw services down kafka --purge"
)

_Addresses = dict[str, str] | None
_Result = TypeVar("_Result")
_KINDS: Final[Mapping[ServiceName, type[Service]]] = {"kafka": Kafka, "hdfs": Hdfs}
_ADDRESSES: Final[Mapping[str, tuple[str, ...]]] = {"kafka": ("bootstrap",), "hdfs": ("webhdfs", "rpc")}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw services`."""
    actions = {
        "up": "start what does not run and wait until it answers",
        "down": "stop it; its data stays",
        "status": "print the addresses of what runs",
        "fetch": "download what `up` needs, and start nothing",
    }
    parser.add_argument(
        "action", choices=list(actions), help="; ".join(f"{name}: {what}" for name, what in actions.items())
    )
    parser.add_argument("service", nargs="?", choices=NAMES, help="only this one (default: both)")
    parser.add_argument(
        "--dir",
        type=Path,
        help="where they keep data, ports, pids and logs (default: `services` in the project's work folder)",
    )
    parser.add_argument("--purge", action="store_true", help="with `down`: delete the data too")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it and print the addresses. Both services are handled at the same time."""
    if args.purge and args.action != "down":
        raise UsageError(f"--purge deletes data and goes with `nw services down` only, not with `{args.action}`")
    names: Sequence[ServiceName] = NAMES if args.service is None else (args.service,)
    if args.action == "fetch":
        out.result({name: _fetched(name, out) for name in names})
        return 0
    folder = _folder(args)
    services = {name: _KINDS[name](folder) for name in names}
    if args.action == "up":
        find_java()
        for name in names:
            _fetched(name, out)  # one after the other, and before anything is started
        out.note(f"starting {' and '.join(names)} in {folder}")
        _print(_each(services, lambda service: service.up()), out)
    elif args.action == "status":
        _print(_each(services, lambda service: service.status()), out)
    else:
        ran = _each(services, lambda service: service.down(purge=args.purge))
        if out.as_json:
            out.result({name: {"stopped": stopped, "purged": args.purge} for name, stopped in ran.items()})
        else:
            kept = "its data is deleted" if args.purge else "its data is kept"
            out.result("\n".join(f"{name}: {'stopped' if was else 'did not run'}; {kept}" for name, was in ran.items()))
    return 0


def _each(services: Mapping[ServiceName, Service], do: Callable[[Service], _Result]) -> dict[str, _Result]:
    """The result for every service; the first error, once all are done."""
    with ThreadPoolExecutor(len(services)) as pool:
        running = {name: pool.submit(do, service) for name, service in services.items()}
    return {name: done.result() for name, done in running.items()}


def _fetched(name: ServiceName, out: Output) -> str:
    if not is_fetched(name):
        out.note(f"downloading {name} with Maven into {cache_folder()}")
    return str(jars(name))


def _print(found: Mapping[str, _Addresses], out: Output) -> None:
    if out.as_json:
        out.result(found)
        return
    out.result(
        {
            f"{name} {address}": (addresses or {}).get(address)
            for name, addresses in found.items()
            for address in _ADDRESSES[name]
        }
    )


def _folder(args: argparse.Namespace) -> Path:
    """The folder asked for; else that of the configuration, if there is one; else that of a configuration here."""
    if args.dir is not None:
        return Path(args.dir).expanduser().absolute()
    origin = locate(args.config)
    if args.config is not None or "://" in origin or Path(origin).exists():
        return load(args.config).work / "services"
    return Path(".neverwinter").absolute() / "services"
