"""Stores in an object store (s3://, gs:// and what else fsspec knows), whose shards are kept on the local disk.

Metadata are copied when the store is opened, a shard when its first plane is needed: whole, since object stores answer
many small requests slowly. All processes of a machine share the copies.
"""

import fcntl
import getpass
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from dsfunet.data.layout import LAYOUT, OPTIONAL_LAYOUT
from dsfunet.errors import InputError

_EXTRAS = {"s3": "s3", "gs": "gcs", "gcs": "gcs"}


def default_cache() -> Path:
    """Return the folder for copies of shards where none is given: one of this user, for temporary files."""
    return Path(tempfile.gettempdir()) / f"dsfunet-shards-{getpass.getuser()}"


class RemoteFiles:
    """The files of a store at a URL, and the local folder of their copies.

    Args:
        url: address of the store, such as `s3://bucket/data/train.zarr`.
        cache_folder: folder for the copies; None uses one for temporary files. It needs the size of the planes that are
            read, is shared by all processes of a machine, and can be removed at any time after them.

    Attributes:
        folder: local folder of the store; metadata are there, shards are brought by `fetch`.

    Raises:
        InputError: the package for such addresses is not installed, there is no such store, or it cannot be read.
    """

    def __init__(self, url: str, cache_folder: str | Path | None = None) -> None:
        self.url, self.cache_folder = url, cache_folder
        self._files, self._root = _open_file_system(url)
        self.folder = self._copy_metadata(default_cache() if cache_folder is None else Path(cache_folder))

    def _copy_metadata(self, cache: Path) -> Path:
        """Copy everything but the shards of pictures, and return the local folder of this version of the store."""
        try:
            group = self._files.cat_file(f"{self._root}/zarr.json")
        except FileNotFoundError as error:
            raise InputError(f"{self.url}: no such store; make one with `python -m simulate`") from error
        except Exception as error:  # each kind of object store has errors of its own
            raise InputError(f"{self.url}: the store cannot be read ({_describe(error)})") from error
        # A store that was made again has another digest in this file, and gets another folder.
        name = hashlib.sha256(self.url.encode() + b"\n" + group).hexdigest()[:16]
        folder = cache / name / Path(self._root).name
        if folder.exists():
            return folder
        pictures = tuple(
            f"{each}/c/" for each, layout in (LAYOUT | OPTIONAL_LAYOUT).items() if layout.picture
        )
        try:
            found = [str(each).removeprefix(f"{self._root}/") for each in self._files.find(self._root)]
            wanted = [each for each in found if not each.startswith(pictures)]
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
            for each in wanted:
                (partial / each).parent.mkdir(parents=True, exist_ok=True)
            self._files.get(
                [f"{self._root}/{each}" for each in wanted], [str(partial / each) for each in wanted]
            )
        except Exception as error:
            raise InputError(f"{self.url}: the store cannot be copied ({_describe(error)})") from error
        try:
            partial.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(partial)
        return folder

    def fetch(self, path: Path) -> None:
        """Copy a shard to its local path; other processes that need it wait.

        Raises:
            FileNotFoundError: there is no such shard.
            InputError: it cannot be copied.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return
            partial = path.with_suffix(".part")
            remote = f"{self._root}/{path.relative_to(self.folder).as_posix()}"
            try:
                self._files.get_file(remote, str(partial))
            except FileNotFoundError:
                raise
            except Exception as error:
                raise InputError(f"{self.url}: a shard cannot be copied ({_describe(error)})") from error
            partial.rename(path)


def _open_file_system(url: str) -> tuple[Any, str]:
    import fsspec  # type: ignore[import-untyped, unused-ignore]

    protocol = url.partition("://")[0]
    try:
        files, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        advice = (
            f"install it with pip install -e '.[{extra}]' in the checkout" if extra else "install it with pip"
        )
        raise InputError(f"{url}: {error}; {advice}") from error
    except ValueError as error:
        raise InputError(f"{url}: {error}; expected an address such as s3://bucket/folder") from error
    return files, str(root).rstrip("/")


def _describe(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
