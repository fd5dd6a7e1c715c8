"""From a URL to its file system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from nw_platform.errors import ConfigError, SourceError
from nw_platform.sources.landing.files import Files, reason_of
from nw_platform.sources.landing.local import LocalFiles
from nw_platform.sources.landing.native import hdfs_files
from nw_platform.sources.landing.remote import RemoteFiles


def open_files(url: str | None, options: Mapping[str, Any], *, follow_links: bool = True) -> Files:
    """The file system of a URL (fsspec) or a local folder; None: the local one, with absolute paths.

    Without `follow_links`, a local link that leads out of the landing zone is named instead of followed.

    Raises:
        ConfigError: no file system is known for the URL.
    """
    if url is None:
        return LocalFiles("", follow_links=follow_links)
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalFiles(unquote(parts.path), follow_links=follow_links)
    if "://" not in url and "::" not in url:
        return LocalFiles(os.path.abspath(url), follow_links=follow_links)  # noqa: PTH100  (a path is text here, also on other file systems)
    if parts.scheme in {"webhdfs", "swebhdfs"}:
        from nw_platform.sources.landing.webhdfs import webhdfs_files  # noqa: PLC0415  (an HTTP client: half a second)

        return webhdfs_files(url, options)
    if parts.scheme in {"hdfs", "viewfs"}:
        return hdfs_files(url, options)
    try:
        system, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"landing zone {url}: {error}") from None
    except Exception as error:
        raise SourceError(f"{url} cannot be reached: {reason_of(error)}") from error
    return RemoteFiles(system, root, url)
