"""From the URL of an index to the store that holds it. Stores are imported when they are opened.

A folder is the embedded store; `http(s)://HOST:PORT/NAME` and `elasticsearch:NAME` are Elasticsearch.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from attribution.errors import IndexBusyError, IndexUnavailableError
from attribution.store.contract import Index, Removed, Writer
from attribution.store.elastic.address import NAMED_SERVER
from attribution.store.embedded.folder import stamp
from attribution.store.opt_outs import OptOut, lines_of
from attribution.tokens.fingerprint import Channel


def default_index_folder() -> Path:
    """Where `index build` puts an index when it is not told."""
    import platformdirs

    return platformdirs.user_data_path("starcoder-lsp", appauthor=False) / "attribution"


def is_remote(url: str) -> bool:
    """Whether an index's URL names a server rather than a folder."""
    return url.startswith(("http://", "https://", NAMED_SERVER))


def index_stamp(url: str) -> tuple[int, int] | None:
    """What tells an index folder from another one in its place; None where there is none."""
    return stamp(_folder(url))


def open_index(url: str | os.PathLike[str]) -> Index:
    """Open an index for reading: a folder, or on Elasticsearch `http(s)://HOST:PORT/NAME`.

    `elasticsearch:NAME` is an index of the server in `ELASTICSEARCH_URL`.

    Raises `IndexMissingError` (with the command that builds one), `IndexFormatError`,
    `IndexDamagedError` or `IndexUnavailableError`.
    """
    if is_remote(str(url)):
        _need_client()
        from attribution.store.elastic.reader import ElasticIndex

        return ElasticIndex.open(str(url))
    from attribution.store.embedded.reader import EmbeddedIndex

    return EmbeddedIndex(_folder(url))


def read_opt_outs(url: str | os.PathLike[str]) -> list[str]:
    """The opt-outs of an index of any version, as the lines of a list. Raises as `open_index`."""
    if is_remote(str(url)):
        _need_client()
        from attribution.store.elastic.reader import read_opt_outs as read_remote

        return lines_of(read_remote(str(url)))
    from attribution.store.embedded.catalogue import read_opt_outs as read_folder

    return lines_of(read_folder(_folder(url)))


def open_writer(
    url: str | os.PathLike[str], *, create: bool = True, renamed: bool = False
) -> AbstractContextManager[Writer]:
    """Open an index for writing, and make it first if it is not there and `create` says so.

    `renamed` adds the SHAPE channel to an index that is made. Raises as `open_index`, and
    `IndexBusyError` while another process writes.
    """
    channels = tuple(Channel) if renamed else (Channel.TEXT,)
    if is_remote(str(url)):
        _need_client()
        from attribution.store.elastic.writer import ElasticWriter

        return ElasticWriter.open(str(url), create=create, channels=channels)
    from attribution.store.embedded.writer import EmbeddedWriter

    return EmbeddedWriter(_folder(url), create=create, channels=channels)


def remove_documents(
    url: str | os.PathLike[str], rules: Sequence[OptOut], *, on_wait: Callable[[], None]
) -> Removed:
    """Remove documents at once and for good, even while another process builds; `on_wait` says so once.

    Raises as `open_writer`.
    """
    try:
        with open_writer(url, create=False) as writer:
            return writer.remove(rules)
    except IndexBusyError:
        from attribution.store.embedded.left import Left

        on_wait()
        return Left(_folder(url)).hand_over(rules, lambda: open_writer(url, create=False))


def _need_client() -> None:
    if importlib.util.find_spec("elasticsearch") is None:
        raise IndexUnavailableError(
            "an index on Elasticsearch needs its client: `pip install 'starcoder-lsp[elasticsearch]'`"
        )


def _folder(url: str | os.PathLike[str]) -> Path:
    return Path(str(url).removeprefix("file://")).expanduser()
