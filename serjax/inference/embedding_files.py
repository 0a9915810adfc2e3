"""Files of embeddings: tables as Parquet or CSV, arrays as .npz or .npy, a matrix of frames a clip."""

import csv
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from serjax.inference.embedded import EmbeddedClip, EmbeddingCache
from serjax.inference.embedding import Settings
from serjax.runtime.disk import atomic_folder, disk_errors, link, write_text
from serjax.runtime.errors import MissingPackage, UserError
from serjax.runtime.json_files import parse_json
from serjax.runtime.version import __version__

POOLED = (".parquet", ".csv", ".npz", ".npy")
"""Suffixes of files with a vector a clip."""

METADATA = "metadata.json"
"""File in a folder of frames; of CSV and .npy it is NAME.json beside the file."""

_OPTION = "--out"
_ROWS = 1024
"""Clips whose vectors are held at once."""


def check_suffix(out: Path, *, frames: bool) -> None:
    """See, before a model is read, that a file of this name can be written.

    Args:
        out: the file, or folder.
        frames: whether it is to hold a matrix of frames a clip.

    Raises:
        UserError: its suffix does not fit, or a package is missing.
    """
    suffix = out.suffix.lower()
    if frames and suffix not in (".npz", ""):
        raise UserError(
            f"--out {out}: --pool none makes a matrix of frames a clip, which {suffix} cannot hold; give NAME.npz, or "
            "a folder, a name without suffix, for a .npy file a clip."
        )
    if not frames and suffix not in POOLED:
        instead = "; name such a file" if suffix else "; name such a file, or give --pool none for a folder of frames"
        raise UserError(f"--out {out}: its suffix is none of {', '.join(POOLED)}{instead}.")
    if suffix and out.is_dir():
        raise UserError(f"--out {out}: it is a folder; name a file.")
    if suffix == ".parquet":
        _pyarrow()


def check_settings(out: Path, settings: Settings) -> None:
    """See that nothing is at `out`, or embeddings of the same settings, which may be replaced.

    Raises:
        UserError: it is something else.
    """
    if not out.exists():
        return
    found, own = read_settings(out), describe(settings)
    if found is None:
        raise UserError(f"--out {out}: it is there and holds no embeddings of serjax; name another, or delete it.")
    for name, told in (("fingerprint", "encoder"), ("layer", "layer"), ("pool", "pool")):
        if found.get(name) != own[name]:
            told = name if found.get(told) == own[told] else told
            difference = f"{told} {_text(found.get(told))}, now {_text(own[told])}"
            raise UserError(
                f"--out {out}: it was made with other settings ({difference}); name another file, or delete it."
            )


def describe(settings: Settings) -> dict[str, Any]:
    """Return what is written of settings beside embeddings, as JSON can write it."""
    layer = settings.layer if isinstance(settings.layer, str) else list(settings.layer)
    return {
        "encoder": settings.encoder,
        "fingerprint": settings.fingerprint,
        "layer": layer,
        "pool": settings.pool,
        "serjax": __version__,
    }


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value}"


def read_settings(out: Path) -> dict[str, Any] | None:
    """Return what `write` has written of the settings; None where there is none."""
    try:
        if out.is_dir():
            text = (out / METADATA).read_text(encoding="utf-8")
        elif out.suffix.lower() == ".parquet":
            text = _pyarrow()[1].read_schema(out).metadata[b"serjax"].decode()
        elif out.suffix.lower() == ".npz":
            with np.load(out) as arrays:
                text = str(arrays["metadata"])
        else:
            text = _beside(out).read_text(encoding="utf-8")
        found = parse_json(text, str(out))
    except MissingPackage:
        raise
    except Exception:  # what of a damaged archive or table can be raised is nearly anything
        return None
    return found if isinstance(found, dict) else None


def write(
    out: Path, rows: Sequence[EmbeddedClip], cache: EmbeddingCache, columns: Sequence[str], settings: Settings
) -> None:
    """Write the embeddings of clips whole or not at all; a file of the same settings is replaced.

    Args:
        out: a file, or of frames also a folder; `check_suffix` and `check_settings` have looked at it.
        rows: clips, in the order of the file.
        cache: holds their embeddings.
        columns: names of the values of a vector.
        settings: written beside them.

    Raises:
        UserError: it cannot be written.
    """
    about = describe(settings)
    if settings.pool == "none":
        (_write_folder if not out.suffix else _write_matrices)(out, rows, cache, about)
        return
    writers = {".parquet": _write_parquet, ".csv": _write_csv, ".npz": _write_arrays, ".npy": _write_array}
    writers[out.suffix.lower()](out, rows, cache, columns, about)


def _write_parquet(
    out: Path, rows: Sequence[EmbeddedClip], cache: EmbeddingCache, columns: Sequence[str], about: Mapping[str, Any]
) -> None:
    arrow, parquet = _pyarrow()
    fields = [("clip", arrow.string()), ("seconds", arrow.float64()), ("digest", arrow.string())]
    schema = arrow.schema([*fields, *((name, arrow.float32()) for name in columns)])
    text = json.dumps(about)
    # pandas makes `DataFrame.attrs` of the second.
    schema = schema.with_metadata({"serjax": text, "PANDAS_ATTRS": text})
    with _whole(out) as file, parquet.ParquetWriter(file, schema) as writer:
        for some, vectors in _blocks(rows, cache):
            heads = [[row.name for row in some], [row.seconds for row in some], [row.digest for row in some]]
            data = [arrow.array(values, kind) for values, (_, kind) in zip(heads, fields, strict=True)]
            data += [arrow.array(column) for column in np.ascontiguousarray(vectors.T)]
            writer.write_table(arrow.Table.from_arrays(data, schema=schema))


def _write_csv(
    out: Path, rows: Sequence[EmbeddedClip], cache: EmbeddingCache, columns: Sequence[str], about: Mapping[str, Any]
) -> None:
    with _whole(out) as binary, open(binary.fileno(), "w", encoding="utf-8", newline="", closefd=False) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", "seconds", "digest", *columns])
        for some, vectors in _blocks(rows, cache):
            for row, vector in zip(some, vectors, strict=True):
                # Nine digits give every float32 back.
                writer.writerow([row.name, f"{row.seconds:.6f}", row.digest, *(f"{x:.9g}" for x in vector.tolist())])
    write_text(_beside(out), json.dumps(about, indent=2) + "\n")


def _write_array(
    out: Path, rows: Sequence[EmbeddedClip], cache: EmbeddingCache, columns: Sequence[str], about: Mapping[str, Any]
) -> None:
    with _whole(out) as file:
        _write_rows(file, rows, cache, len(columns))
    write_text(_beside(out), json.dumps({**about, "columns": list(columns), **_heads(rows)}, indent=2) + "\n")


def _write_arrays(
    out: Path, rows: Sequence[EmbeddedClip], cache: EmbeddingCache, columns: Sequence[str], about: Mapping[str, Any]
) -> None:
    with _archive(out, about) as add:
        for name, values in (*_heads(rows).items(), ("columns", list(columns))):
            add(name, partial(_save, np.array(values)))
        add("vectors", lambda file: _write_rows(file, rows, cache, len(columns)))


def _write_matrices(out: Path, rows: Sequence[EmbeddedClip], cache: EmbeddingCache, about: Mapping[str, Any]) -> None:
    unique = {row.name: row for row in rows}
    if "metadata" in unique:
        raise UserError(f"--out {out}: a clip is called metadata, as an array of the file is; rename it.")
    with _archive(out, {**about, **_heads(list(unique.values()))}) as add:
        for name, row in unique.items():
            add(name, partial(_save, cache[row.digest]))


def _write_folder(out: Path, rows: Sequence[EmbeddedClip], cache: EmbeddingCache, about: Mapping[str, Any]) -> None:
    """Write a file a clip, named by its samples, of which the cache and the folder share one on the disk."""
    old = out.with_name(f".{out.name}.old")
    with disk_errors(out, _OPTION):
        shutil.rmtree(old, ignore_errors=True)
        if out.is_dir():
            out.rename(old)
        with atomic_folder(out) as folder:
            for digest in dict.fromkeys(row.digest for row in rows):
                link(cache.path(digest), folder / f"{digest}.npy")
            with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["clip", "seconds", "digest", "file"])
                writer.writerows([row.name, f"{row.seconds:.6f}", row.digest, f"{row.digest}.npy"] for row in rows)
            (folder / METADATA).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(old, ignore_errors=True)


def _heads(rows: Sequence[EmbeddedClip]) -> dict[str, list[Any]]:
    names = {"clip": "name", "seconds": "seconds", "digest": "digest"}
    return {name: [getattr(row, field) for row in rows] for name, field in names.items()}


def _blocks(
    rows: Sequence[EmbeddedClip], cache: EmbeddingCache
) -> Iterator[tuple[list[EmbeddedClip], Float32[np.ndarray, "n d"]]]:
    """Yield some clips and their vectors after others."""
    waiting = iter(rows)
    while some := list(islice(waiting, _ROWS)):
        yield some, np.stack([cache[row.digest] for row in some])


def _write_rows(file: BinaryIO, rows: Sequence[EmbeddedClip], cache: EmbeddingCache, width: int) -> None:
    """Write all vectors as a .npy file does, without holding them."""
    shape = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), width)}
    np.lib.format.write_array_header_1_0(file, shape)
    for _, vectors in _blocks(rows, cache):
        file.write(np.asarray(vectors, "<f4").tobytes())


def _save(values: np.ndarray, file: BinaryIO) -> None:
    np.save(file, values, allow_pickle=False)


@contextmanager
def _archive(out: Path, about: Mapping[str, Any]) -> Iterator[Callable[[str, Callable[[Any], Any]], None]]:
    """Open a .npz file, to which the function that is given adds arrays by name."""
    with _whole(out) as file, zipfile.ZipFile(file, "w") as archive:

        def add(name: str, save: Callable[[Any], Any]) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                save(member)

        add("metadata", partial(_save, np.array(json.dumps(about))))
        yield add


@contextmanager
def _whole(out: Path) -> Iterator[BinaryIO]:
    """Open a file under a temporary name; it takes its own when all is written."""
    unfinished = out.with_name(f"{out.name}.tmp")
    try:
        with disk_errors(out, _OPTION):
            out.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                yield file
            unfinished.replace(out)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name}.json")


def _pyarrow() -> tuple[Any, Any]:
    """Return the packages that read and write Parquet."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingPackage("pyarrow", "parquet", "Parquet files are written") from None
    return pyarrow, parquet
