"""Sets of Hugging Face's `datasets`, read by pyarrow: Parquet files, folders of `save_to_disk`, and sets on the hub."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from serjax.data.corpora.embedded import NOTE, EmbeddedFiles
from serjax.data.corpora.folders import walk
from serjax.data.corpora.records import Found, Records, choose_columns, choose_splits, refuse_twice, utterance
from serjax.data.utterance import Utterance
from serjax.runtime.errors import MissingPackage, UserError, one_of, reason
from serjax.runtime.json_files import contents_of, parse_json, read_json
from serjax.runtime.progress import progress_bar
from serjax.runtime.remote import as_path, exists_once, is_remote

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(/[\w.-]+)?")
_SHARD = re.compile(r"(.+?)[-_]\d+-of-\d+(-\w+)?")
_CONVERTED = "refs/convert/parquet"
"""Revision in which the hub keeps every set that it could read as Parquet files."""
_ROWS = 64
"""Rows in memory at once: a row holds a recording."""


class _Part(NamedTuple):
    """A file of a split."""

    split: str
    file: Path


class _Schema(NamedTuple):
    """Columns of a file: their names, those that hold sound, and names of classes for those that hold their numbers."""

    names: list[str]
    sounds: list[str]
    classes: Mapping[str, Sequence[str]]


def read_huggingface(records: Records) -> Found:
    """Read the clips of a set, and write sound that lies in its tables below the cache.

    A clip's id is its column id, else the name of its sound file where all clips have one of their own, else its split
    and row.

    Args:
        records: settings; the root is a folder, a Parquet file, a URL of one, or OWNER/NAME on the hub, with the name
            of a configuration behind a further slash where it has several.

    Raises:
        UserError: there is no such set, a file is damaged, no column holds sound or labels, a split is not there, a
            row cannot be used, or the files cannot be written.
        MissingPackage: pyarrow is not installed.
    """
    pyarrow = _pyarrow()
    root = _locate(records.root)
    parts = _parts(root, records.root)
    if not parts:
        raise UserError(f"--data.root {records.root}: it names no file of data; save the set anew.")
    splits, notes = choose_splits(dict.fromkeys(part.split for part in parts), records)
    parts = [part for part in parts if part.split in splits]
    schema = _schema(pyarrow, parts[0].file)
    columns, guessed = choose_columns(schema.names, schema.sounds, records)
    store, exists = EmbeddedFiles(records.cache), exists_once()
    folder = root.parent if root.is_file() else root
    clips: list[Utterance] = []
    files, missing, rows = [], [], dict.fromkeys(splits, 0)
    with progress_bar("clips") as bar:
        task = bar.add_task("reading the set", total=None, rate="")
        for split, file in parts:
            for row in _rows(pyarrow, file, list(dict.fromkeys(columns.values()))):
                number, rows[split] = rows[split], rows[split] + 1
                where = f"{file}: row {number} of {split}"
                content, name = _sound(row[columns["path"]], columns["path"], where)
                path = (
                    as_path(name, below=folder)
                    if content is None
                    else store.put(content, name or f"{split}/{number:06d}")
                )
                if content is None and not exists(path):
                    missing.append(f"row {number} of {split}: {name}")
                cells = {
                    field: _cell(row[name], name, schema, where) for field, name in columns.items() if field != "path"
                }
                clips.append(utterance(cells, where, f"{split}/{number:06d}", path, records.labelled))
                files.append(name)
                bar.advance(task)
    if not clips:
        raise UserError(f"--data.root {records.root}: it has no row; give another set, or another --data.split.")
    if missing and not (records.skip_missing and len(missing) < len(clips)):
        raise UserError(
            f"--data.root {records.root}: {len(missing)} of its {len(clips)} rows name sound files that do not exist "
            f"({one_of(missing)}); put them below {folder}, or write the set with the sound in it."
        )
    if "id" not in columns:
        clips = _named_by_files(clips, files)
    refuse_twice(clips, records.root)
    downloaded = root != as_path(records.root)
    told = [f"The clips are read from {'the hub' if downloaded else 'tables'} of Hugging Face: {records.root}."]
    if any(clip.path.is_relative_to(store.folder) for clip in clips):
        told.append(NOTE)
    order = tuple(schema.classes.get(columns.get("label", ""), ()))
    return Found(records.root if downloaded else root.stem, tuple(clips), (*told, *guessed, *notes), order)


def _pyarrow() -> ModuleType:
    try:
        import pyarrow.ipc
        import pyarrow.parquet  # noqa: F401 found as an attribute
    except ImportError:
        raise MissingPackage("pyarrow", "parquet", "Sets of Hugging Face are read") from None
    return pyarrow


def _locate(root: str) -> Path:
    """Return the folder or file of a set, which is downloaded where `root` is an id of the hub."""
    path = as_path(root)
    if is_remote(path) or path.exists():
        return path
    if not _HUB_ID.fullmatch(root):
        raise UserError(
            f"--data.root {root}: there is no such folder or file, and it is no id of the hub either; give a folder of "
            "Parquet files or of save_to_disk, or OWNER/NAME."
        )
    owner, name, *configuration = root.split("/")
    return _download(f"{owner}/{name}", root).joinpath(*configuration)


def _download(repository: str, given: str) -> Path:
    """Return the folder into which the hub's own package puts the Parquet files of a set."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        folder = Path()
        for revision in (None, _CONVERTED):
            folder = Path(
                huggingface_hub.snapshot_download(
                    repository, repo_type="dataset", revision=revision, allow_patterns="*.parquet"
                )
            )
            if any(folder.rglob("*.parquet")):
                break
        return folder
    except errors.GatedRepoError:
        problem = "its owner wants users to ask for access; ask, run `hf auth login`, and try again."
    except errors.RepositoryNotFoundError:
        problem = "there is no such folder, and the hub has no such set that you may read; correct the name."
    except errors.LocalEntryNotFoundError:
        problem = "there is no such folder, and the hub is out of reach; correct the path, or go online."
    except errors.RevisionNotFoundError:
        problem = "it has no Parquet files, nor has the hub converted it; download it, and give the folder."
    except Exception as error:  # the HTTP library beneath has changed with releases, and its errors with it
        first = (str(error).strip() or repr(error)).splitlines()[0]
        problem = (
            f"it could not be fetched from the hub ({type(error).__name__}: {first}); try again, or give a folder."
        )
    raise UserError(f"--data.root {given}: {problem}")


def _parts(root: Path, given: str) -> list[_Part]:
    """Return the files of a set, in the order of splits and shards."""
    if root.is_file():
        return [_Part(_split(root, root.parent)[1], root)]
    if (root / "dataset_dict.json").is_file():
        splits = _json(root / "dataset_dict.json").get("splits", [])
        return [_Part(split, file) for split in splits for file in _saved(root / split)]
    if (root / "state.json").is_file():
        return [_Part(_json(root / "state.json").get("_split") or root.name, file) for file in _saved(root)]
    files = sorted(file for file in walk(root) if file.suffix.lower() == ".parquet") if root.is_dir() else []
    if not files:
        raise UserError(
            f"--data.root {given}: there are no Parquet files below it, and it is no folder of save_to_disk; give one "
            "of these."
        )
    placed = [(*_split(file, root), file) for file in files]
    configurations = dict.fromkeys(configuration for configuration, _, _ in placed)
    if len(configurations) > 1:
        names = [name or "." for name in configurations]
        raise UserError(
            f"--data.root {given}: it has the configurations {one_of(names)}; choose one, as in --data.root "
            f"{given.rstrip('/')}/{names[-1]}."
        )
    return [_Part(split, file) for _, split, file in placed]


def _split(file: Path, root: Path) -> tuple[str, str]:
    """Return the configuration, "" for none, and the split of a Parquet file, by its place below root."""
    folders = list(file.relative_to(root).parts[:-1])
    shard = _SHARD.fullmatch(file.stem)
    if shard:
        split = shard[1]
    elif file.stem.isdecimal():
        split = folders.pop() if folders else root.name
    else:
        split = file.stem
    return "/".join(folder for folder in folders if folder != "data"), split


def _saved(folder: Path) -> list[Path]:
    """Return the Arrow files of a folder of `save_to_disk`."""
    path = folder / "state.json"
    with contents_of(path, "save the set anew with save_to_disk"):
        # What lies elsewhere is no part of the set.
        return [folder / Path(part.get("filename", "")).name for part in _json(path).get("_data_files", [])]


def _json(path: Path) -> dict[str, Any]:
    return read_json(path, remedy="save the set anew with save_to_disk")


def _schema(pyarrow: ModuleType, file: Path) -> _Schema:
    """Return the columns of a file; `datasets` notes its features beside Arrow's types."""
    try:
        with _opened(pyarrow, file) as (schema, _):
            pass
    except (OSError, pyarrow.ArrowException) as error:
        raise _damaged(file, error) from None
    with contents_of(file, "save the set anew"):
        noted = parse_json((schema.metadata or {}).get(b"huggingface", b"{}"), str(file))
        features = (noted.get("info") or {}).get("features") or {}
        kinds = {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    sounds = [field.name for field in schema if kinds.get(field.name, {}).get("_type") == "Audio"]
    if not sounds:
        sounds = [field.name for field in schema if _holds_bytes(pyarrow, field.type)]
    classes = {name: kind["names"] for name, kind in kinds.items() if kind.get("_type") == "ClassLabel"}
    return _Schema(schema.names, sounds, classes)


def _holds_bytes(pyarrow: ModuleType, kind: Any) -> bool:
    types = pyarrow.types
    if types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _holds_bytes(pyarrow, kind.field(at).type)
    return types.is_binary(kind) or types.is_large_binary(kind)


@contextlib.contextmanager
def _opened(pyarrow: ModuleType, file: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file, and give its schema and a function that yields batches of the columns of some names."""
    with file.open("rb") as source:
        if file.suffix.lower() == ".parquet":
            with pyarrow.parquet.ParquetFile(source) as reader:
                yield reader.schema_arrow, lambda names: reader.iter_batches(_ROWS, columns=names)
        else:
            with pyarrow.ipc.open_stream(source) as reader:
                yield reader.schema, lambda names: (batch.select(names) for batch in reader)


def _rows(pyarrow: ModuleType, file: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, with the columns of these names."""
    try:
        with _opened(pyarrow, file) as (schema, batches):
            lacking = sorted(set(names) - set(schema.names))
            if lacking:
                raise UserError(f"{file}: it has no column {one_of(lacking)}, which other files of the set have.")
            for batch in batches(names):
                for start in range(0, batch.num_rows, _ROWS):
                    yield from batch.slice(start, _ROWS).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> UserError:
    first = (reason(error).splitlines() or ["it breaks off"])[0].rstrip(".")
    return UserError(f"{file}: it cannot be read ({first}); get the file again.")


def _cell(cell: Any, name: str, schema: _Schema, where: str) -> Any:
    """Return a cell, and of the number of a class its name."""
    if isinstance(cell, (list, dict)):
        raise UserError(
            f"{where}: its column {name} holds several values; name one with a single value by --data.columns."
        )
    names = schema.classes.get(name)
    if names is None or not isinstance(cell, int):
        return cell
    if cell < 0:
        return None  # as `datasets` writes what is unknown
    if cell >= len(names):
        raise UserError(f"{where}: the {name} is {cell}, but the set names {len(names)} classes; write the set anew.")
    return names[cell]


def _sound(cell: Any, name: str, where: str) -> tuple[bytes | None, str]:
    """Return the bytes and the file name in a cell of sound: of a struct, bytes alone, or a path alone."""
    if isinstance(cell, dict):
        content, file = cell.get("bytes"), cell.get("path") or ""
    else:
        content, file = (cell, "") if isinstance(cell, bytes) else (None, cell)
    if content is None and not (isinstance(file, str) and file):
        raise UserError(
            f"{where}: its column {name} holds no sound; leave the row out, or name the column with --data.columns "
            "path=COLUMN."
        )
    return content, file


def _named_by_files(clips: list[Utterance], files: list[str]) -> list[Utterance]:
    """Return the clips with the names of their sound files as ids, where every one has a name of its own."""
    names = [re.sub(r"\.\w+$", "", file) for file in files]
    if not all(names) or len(set(names)) < len(names) or any(name.startswith("/") for name in names):
        return clips
    return [replace(clip, id=name) for clip, name in zip(clips, names, strict=True)]
