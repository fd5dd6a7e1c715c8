from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pydantic import TypeAdapter

from nw_platform.alerts.channels import open_channel
from nw_platform.alerts.message import Channel
from nw_platform.streams import channels as declared
from tests.alerts.channels.receivers import Authority, HttpReceiver, http_receiver

Opener = Callable[..., Channel]


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def https(authority) -> Iterator[HttpReceiver]:
    with http_receiver(authority.server_context("127.0.0.1", "localhost")) as receiver:
        yield receiver


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens channels as the configuration declares them: `opened(kind="slack", url=...)`."""
    made: list[Channel] = []

    def open_it(*, link: str | None = None, environ: dict[str, str] | None = None, **declaration: object) -> Channel:
        checked = TypeAdapter(declared.Channel).validate_python(declaration)
        made.append(open_channel("ops", checked, link=link, environ=environ))
        return made[-1]

    yield open_it
    for channel in made:
        channel.close()
        channel.close()
