"""Paths of files in an object store, such as gs://bucket/corpus/clip.wav, read through fsspec."""

import errno
import hashlib
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import IO, Any, cast

from serjax.runtime.errors import MissingPackage, UserError


class RemotePath(PurePosixPath):
    """A URL with those methods of `pathlib.Path` that reading needs; parts are compared and joined as there.

    What goes wrong is an `OSError`, as of a file on a disk.
    """

    def __str__(self) -> str:
        scheme, *rest = self.parts or (".",)
        if not scheme.endswith(":"):
            return super().__str__()  # a path below another one
        return f"{scheme}//{'/' if scheme == 'file:' else ''}{'/'.join(rest)}"

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.parts == other.parts

    @property
    def file_system(self) -> Any:
        """The fsspec file system that reads it.

        Raises:
            UserError: no package that is installed reads such URLs.
        """
        try:
            import fsspec
            from fsspec.registry import known_implementations
        except ImportError:
            raise MissingPackage("fsspec", "remote", "URLs of recordings are read") from None
        scheme = self.parts[0].removesuffix(":")
        try:
            return fsspec.filesystem(scheme)
        except ImportError:
            package = known_implementations[scheme]["class"].partition(".")[0]
            raise MissingPackage(package, "remote", f"{scheme}:// is read") from None
        except ValueError:
            raise UserError(
                f"{self}: {scheme}:// is nothing that fsspec reads; give such as gs://, s3:// or hf://, or a folder."
            ) from None
        except Exception as error:  # each store has errors of its own
            raise UserError(f"{self}: its store cannot be used ({error}); log in to it as fsspec wants it.") from None

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return what a method of the file system says of this path."""
        try:
            return getattr(self.file_system, method)(str(self), *arguments, **options)
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(self)) from None
        except (OSError, UserError, KeyboardInterrupt) as error:
            if not isinstance(error, OSError) or error.strerror:
                raise
            raise OSError(errno.EIO, str(error), str(self)) from None
        except Exception as error:  # each store has errors of its own: a bucket, credentials, the network
            raise OSError(errno.EIO, str(error) or type(error).__name__, str(self)) from None

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """Open the file to read it; ranges are fetched as they are asked for."""
        return cast(IO[Any], self._call("open", mode, **options))

    def _type(self) -> str | None:
        try:
            return str(self._call("info")["type"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(
                f"{self}: it cannot be read ({error.strerror}); correct the URL, or log in to the store."
            ) from None

    def exists(self) -> bool:
        """Return whether there is a file or folder."""
        return self._type() is not None

    def is_file(self) -> bool:
        """Return whether there is a file."""
        return self._type() == "file"

    def is_dir(self) -> bool:
        """Return whether there is a folder."""
        return self._type() == "directory"

    def stat(self) -> SimpleNamespace:
        """Return `st_size`, in bytes."""
        return SimpleNamespace(st_size=self._call("info")["size"])

    def absolute(self) -> "RemotePath":
        """Return the path itself, as every URL is absolute."""
        return self

    resolve = absolute

    def walk(self) -> Iterator["RemotePath"]:
        """Yield all files below this folder."""
        for name in self._call("find"):
            yield RemotePath(self.file_system.unstrip_protocol(name))

    def digest(self) -> str:
        """Return a hash of the URL and the store's record of the file, such as size and ETag; nothing is fetched."""
        return hashlib.blake2b(f"{self} {self._call('ukey')}".encode(), digest_size=16).hexdigest()


def is_remote(path: object) -> bool:
    """Return whether a path, or its text, is a URL."""
    return isinstance(path, RemotePath) or (isinstance(path, str) and "://" in path)


def as_path(name: str | Path, below: Path | None = None) -> Path:
    """Return the path that a name stands for: on a disk, or a URL.

    Args:
        name: a path, below `below` unless it is absolute, or a URL.
        below: where a relative path starts; by default in the working folder.

    Returns:
        A `Path`, or a `RemotePath`, which reads as one.

    Raises:
        UserError: a URL that no installed package reads.
    """
    if not isinstance(name, str):
        return name
    if not is_remote(name):
        if below is None or name.startswith("/"):
            return Path(name)
        # An object store knows no `..`.
        return cast(Path, RemotePath(*_normal((below / name).parts))) if is_remote(below) else below / name
    if "::" in name:
        raise UserError(f"{name}: it is a URL within another one; unpack such archives, and give the URL of the files.")
    remote = RemotePath(*_normal(RemotePath(name).parts))
    _ = remote.file_system  # a missing package is told now, not for each clip
    return cast(Path, remote)


def _normal(parts: tuple[str, ...]) -> tuple[str, ...]:
    return parts[0], *PurePosixPath(posixpath.normpath("/".join(("/", *parts[1:])))).parts[1:]


def exists_once() -> Callable[[Path], bool]:
    """Return a function that tells whether a file is there, and that lists each remote folder only once."""
    folders: dict[Any, set[str]] = {}

    def exists(path: Path) -> bool:
        if not isinstance(path, RemotePath):
            try:
                return path.is_file()
            except OSError:  # a name that is too long for any file
                return False
        folder = path.parent
        if folder not in folders:
            try:
                found = folder._call("ls", detail=False)
            except FileNotFoundError:
                found = []
            except OSError as error:
                raise UserError(f"{folder}: it cannot be listed ({error.strerror}); correct the URL.") from None
            folders[folder] = {PurePosixPath(name).name for name in found}
        return path.name in folders[folder]

    return exists
