"""The small world of tests on a real HDFS: landing zone by WebHDFS or by the native protocol, lake natively."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from hdfs import InsecureClient
from world import START, World

from nw_platform import settings

PLACES = "hdfs.json"


def opened(root: Path) -> World:
    """The world that was made at `root`, for another process: on HDFS or local."""
    if not (root / PLACES).exists():
        return World(root)
    known = json.loads((root / PLACES).read_text())
    return HdfsWorld(root, SimpleNamespace(**known["hdfs"]), known["scheme"])


class HdfsWorld(World):
    """As World; `write` puts files on HDFS."""

    def __init__(self, root: Path, hdfs, scheme: str = "webhdfs", now: int = START) -> None:
        super().__init__(root, now)
        places = {"webhdfs": hdfs.webhdfs, "rpc": hdfs.rpc, "folder": hdfs.folder}
        (root / PLACES).write_text(json.dumps({"scheme": scheme, "hdfs": places}))
        self.folder = hdfs.folder
        self.client = InsecureClient(hdfs.webhdfs, user="hdfs")
        self.client.makedirs(f"{self.folder}/landing")
        address = hdfs.rpc if scheme == "hdfs" else hdfs.webhdfs.replace("http", "webhdfs")
        self.zone, self.lake = f"{address}{self.folder}/landing", f"{hdfs.rpc}{self.folder}/lake"

    def write(self, name: str, data: bytes) -> str:
        path = f"{self.folder}/landing/{name}"
        self.client.write(path, data, overwrite=True)
        self.client.set_times(path, modification_time=self.now // 1000)
        return path

    def text(self, **stream) -> str:
        declared = {"source": "landing", "path": "app/*.log*", "format": "json", "late_after": "never", **stream}
        source = {"kind": "landing", "url": self.zone, "options": {"timeout": 3}}
        return json.dumps({"lake": self.lake, "sources": {"landing": source}, "streams": {"app": declared}})

    def settings(self, **stream):
        return settings.parse(self.text(**stream), base=str(self.root), origin="test")

    def names(self, folder: str) -> list[str]:
        """Every file below a folder of the world, relative to it, hidden ones too."""
        top = f"{self.folder}/{folder}"
        found = self.client.walk(top, ignore_missing=True)
        return sorted(f"{at}/{name}"[len(top) + 1 :] for at, _, files in found for name in files)
