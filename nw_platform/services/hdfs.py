"""HDFS as one process: a NameNode and two DataNodes of Hadoop's own mini cluster, on 127.0.0.1."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar, Final

from nw_platform.services.artefacts import classpath
from nw_platform.services.processes import mark
from nw_platform.services.service import Service

_ANSWER_SECONDS: Final = 10.0
_MAIN: Final = "org.apache.hadoop.test.MiniDFSClusterManager"
_POOL_BEAN: Final = "Hadoop:service=NameNode,name=NameNodeInfo::BlockPoolId"
_READY_FOLDER: Final = "/tmp"  # noqa: S108  (in HDFS; every HDFS has it)


class Hdfs(Service):
    """A NameNode with WebHDFS, and two DataNodes. Permissions are off: every user may do everything."""

    name: ClassVar = "hdfs"
    port_names: ClassVar[Sequence[str]] = ("rpc", "http")

    def addresses(self, ports: Mapping[str, int]) -> dict[str, str]:
        """`webhdfs`: the NameNode's HTTP address; `rpc`: what `hdfs://` clients use."""
        return {"webhdfs": f"http://127.0.0.1:{ports['http']}", "rpc": f"hdfs://127.0.0.1:{ports['rpc']}"}

    def _format(self, ports: Mapping[str, int]) -> None:
        """The NameNode formats its folder itself, on the first start."""

    def _command(self, ports: Mapping[str, int], *, first: bool) -> list[str]:
        settings = {
            "hdfs.minidfs.basedir": str(self.folder / "data"),
            "dfs.replication": "2",  # with one copy, closing a file takes half a second every time
            "dfs.permissions.enabled": "false",
            "dfs.namenode.safemode.extension": "0",
        }
        command = [mark(self.folder), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath("hdfs"), _MAIN]
        command += ["-datanodes", "2", "-nnport", str(ports["rpc"]), "-httpport", str(ports["http"])]
        command += ["-format"] if first else []
        for key, value in settings.items():
            command += ["-D", f"{key}={value}"]
        return command

    def _answers(self, ports: Mapping[str, int]) -> bool:
        """Whether the NameNode is ours and takes a change: in safe mode, waiting for its blocks, it does not."""
        connection = http.client.HTTPConnection("127.0.0.1", ports["http"], timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", f"/jmx?get={_POOL_BEAN}")
            if self._block_pool() not in connection.getresponse().read():
                return False
            connection.request("PUT", f"/webhdfs/v1{_READY_FOLDER}?op=MKDIRS")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _block_pool(self) -> bytes:
        """By what this file system is known.

        Raises:
            FileNotFoundError: it is not formatted yet.
        """
        version = next((self.folder / "data").glob("name-*/current/VERSION"), self.folder / "data" / "VERSION")
        lines = version.read_bytes().splitlines()
        return next((line.partition(b"=")[2] for line in lines if line.startswith(b"blockpoolID=")), b"unknown")
