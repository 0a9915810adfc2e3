"""Sets of TensorFlow Datasets: prepared ones, or by name, such as crema_d and savee."""

import difflib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from serjax.data.corpora.embedded import NOTE, EmbeddedFiles
from serjax.data.corpora.records import Found, Records, choose_columns, choose_splits, refuse_twice, utterance
from serjax.runtime.errors import MissingPackage, UserError, one_of
from serjax.runtime.progress import progress_bar
from serjax.runtime.remote import is_remote

log = logging.getLogger(__name__)

INFO = "dataset_info.json"
"""File of every prepared set."""
_DEPTH = 3
"""Folders between one that is given and a prepared set: its name, its configuration, its version."""
_THREADS = 16
"""Records that are read at once."""


def read_tfds(records: Records) -> Found:
    """Read the clips of a set, and write their sound below the cache.

    A clip's id is its feature id, else its split and its place there, which stay what they are until the set is
    prepared anew.

    Args:
        records: settings; the root is the folder of a prepared set, or one that holds it, or the set's name, which is
            prepared in TensorFlow Datasets' own folder (TFDS_DATA_DIR) where it is not yet there.

    Raises:
        UserError: there is no such set, it cannot be prepared or read, no feature is sound or the label, a split is not
            there, a record cannot be used, or the files cannot be written.
        MissingPackage: tensorflow-datasets or TensorFlow is not installed.
    """
    tfds = import_tfds("Sets of TensorFlow Datasets are read")
    builder = _builder(tfds, records.root)
    features = dict(sorted(flat(builder.info.features).items()))  # read from JSON they have no order
    sounds = [name for name, kind in features.items() if isinstance(kind, tfds.features.Audio)]
    columns, guessed = choose_columns(list(features), sounds, records, "feature")
    sound = columns.pop("path")
    rate = getattr(features[sound], "sample_rate", None)
    if not rate:
        raise UserError(
            f"--data.root {records.root}: its feature {sound} names no rate; prepare the set with "
            "tfds.features.Audio(sample_rate=...)."
        )
    splits, notes = choose_splits(builder.info.splits, records)
    store, clips = EmbeddedFiles(records.cache), []
    with progress_bar("clips") as bar:
        for split in splits:
            task = bar.add_task(f"reading {split}", total=builder.info.splits[split].num_examples, rate="")
            for number, example in enumerate(_examples(tfds, builder, split)):
                where = f"{builder.data_dir}: record {number} of {split}"
                found = flat(example)
                cells = {field: _cell(found[name], features[name], name, where) for field, name in columns.items()}
                name = f"{split}/{number:06d}"
                path = store.put_samples(np.asarray(found[sound]), int(rate), name, where)
                clips.append(utterance(cells, where, name, path, records.labelled))
                bar.advance(task)
    if not clips:
        raise UserError(f"--data.root {records.root}: it has no record; give another set, or another --data.split.")
    refuse_twice(clips, records.root)
    order = tuple(getattr(features[columns["label"]], "names", None) or ()) if "label" in columns else ()
    note = f"The clips are read from the set {builder.info.full_name} of TensorFlow Datasets."
    return Found(builder.name, tuple(clips), (note, NOTE, *guessed, *notes), order)


def import_tfds(task: str) -> ModuleType:
    """Return the package, for a task such as "Sets are read", with TensorFlow's messages of its start left out.

    Raises:
        MissingPackage: it, or TensorFlow, is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow computes nothing here, and would tell of these
    try:
        import tensorflow  # noqa: F401  (its feature of sound needs it, and asks for it late)
        import tensorflow_datasets
    except ImportError:
        raise MissingPackage("tensorflow-datasets", "tfds", task) from None
    return tensorflow_datasets


def flat(features: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested features, or the values of a record, by their names with points between the levels."""
    found: dict[str, Any] = {}
    for name in features:
        value = features[name]
        if isinstance(value, dict) or (hasattr(value, "keys") and hasattr(value, "__getitem__")):
            found |= flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _builder(tfds: ModuleType, root: str) -> Any:
    """Return what reads a prepared set; one that is known by name is prepared."""
    path = Path(root)
    if is_remote(root) or path.is_dir():
        folder = root if is_remote(root) else str(_prepared(path))
        try:
            return tfds.builder_from_directory(folder)
        except Exception as error:  # many kinds, of files and of formats
            raise UserError(
                f"--data.root {root}: it cannot be read as a prepared set ({_first_line(error)}); prepare it anew."
            ) from None
    try:
        builder = tfds.builder(root)
    except Exception as error:
        near = difflib.get_close_matches(root, tfds.list_builders(), 1)
        hint = f"did you mean {near[0]}?" if near else "give such a folder, or a name that tfds.list_builders() has."
        raise UserError(
            f"--data.root {root}: there is no such folder, and TensorFlow Datasets makes no set of this name "
            f"({_first_line(error)}); {hint}"
        ) from None
    if not builder.is_prepared():
        log.info(f"{root}: TensorFlow Datasets prepares it in {builder.data_dir}.")
        try:
            builder.download_and_prepare(file_format="array_record")
        except Exception as error:  # of the network, of archives, of those that must be fetched by hand
            raise UserError(
                f"--data.root {root}: TensorFlow Datasets could not prepare it ({_first_line(error)}); do as its page "
                f"says (tensorflow.org/datasets/catalog/{builder.name}), or give the folder of a prepared set."
            ) from None
    return builder


def _prepared(root: Path) -> Path:
    """Return the folder of the prepared set in a folder: it itself, or the only one below it."""
    found: list[Path] = []
    for depth in range(_DEPTH + 1):
        found += [info.parent for info in sorted(root.glob("*/" * depth + INFO))]
    if not found:
        raise UserError(
            f"--data.root {root}: there is no prepared set in it, which would have a file {INFO}; give the folder of a "
            "set's version, such as tensorflow_datasets/crema_d/1.0.0."
        )
    if len(found) > 1:
        names = [folder.relative_to(root).as_posix() for folder in found]
        raise UserError(f"--data.root {root}: there are several sets in it ({one_of(names)}); give the folder of one.")
    return found[0]


def _examples(tfds: ModuleType, builder: Any, split: str) -> Iterator[Mapping[str, Any]]:
    """Yield the records of a split in their order: at random places where the format has them, else one by one."""
    from tensorflow_datasets.core.file_adapters import FileFormat

    there_at_random = builder.info.available_file_formats() & FileFormat.with_random_access()
    if there_at_random and is_remote(str(builder.data_dir)):
        names = one_of([form.value for form in there_at_random])
        raise UserError(
            f"{builder.data_dir}: files of {names} are read from a disk; mount the bucket (gcsfuse), copy the set, or "
            "prepare it as tfrecord."
        )
    try:
        if there_at_random:
            import grain

            source = grain.MapDataset.source(builder.as_data_source(split))
            yield from source.to_iter_dataset(
                grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=4 * _THREADS)
            )
        else:
            in_turn = tfds.ReadConfig(interleave_cycle_length=1)
            yield from tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False, read_config=in_turn))
    except Exception as error:
        raise UserError(
            f"{builder.data_dir}: the split {split} cannot be read ({_first_line(error)}); prepare the set anew."
        ) from None


def _cell(value: Any, kind: Any, name: str, where: str) -> Any:
    """Return a value of a record as Python has it, and of the number of a class its name."""
    value = np.asarray(value)
    if value.ndim:
        raise UserError(
            f"{where}: its feature {name} holds several values; name one with a single value by --data.columns."
        )
    names = getattr(kind, "names", None)
    if names is None:
        return value.item()
    number = int(value)
    if number < 0:
        return None  # as test splits without labels have it
    return kind.int2str(number)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
