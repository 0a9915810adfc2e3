"""A corpus as a set of TensorFlow Datasets, in few large files, as jobs read them from a bucket."""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int16

from serjax.audio import SAMPLE_RATE
from serjax.data.corpora.tfds import import_tfds
from serjax.data.store.clips import ClipStore
from serjax.data.utterance import Utterance
from serjax.runtime.disk import disk_errors
from serjax.runtime.errors import UserError
from serjax.runtime.progress import progress_bar

Form = Literal["array_record", "tfrecord"]
"""Format of the files: with random access, for a disk; or read one after the other, from a bucket too."""

_TEXTS = {"id": "id", "speaker_id": "speaker", "session": "session", "text": "text"}
"""Features of text, and the fields of a clip that they hold."""
_ATTRIBUTES = ("gender", "age")


class Written(NamedTuple):
    """A set that was written: its folder, and how many of its clips had samples beyond full scale."""

    folder: Path
    clipped: int


def write_tfds(
    store: ClipStore,
    labels: Sequence[str],
    folder: Path,
    *,
    name: str,
    version: str = "1.0.0",
    form: Form = "array_record",
) -> Written:
    """Write the clips of a store as the split `train` of a set.

    Sound is kept at 16 kHz in 16 bits: samples of a recording that has these come back bit for bit, others within half
    of such a step, and those beyond full scale, as resampling makes them, at full scale. Features are `audio`, `label`,
    `id`, and those of `speaker_id`, `session`, `text`, `gender` and `age` that a clip has, and `values` and `votes` by
    name, in which NaN is missing.

    Args:
        store: the clips.
        labels: the classes, in their order.
        folder: of all sets; the set's own is NAME/VERSION in it.
        name: of the set; what no such name may have becomes an underscore.
        version: three numbers with points between.
        form: of the files.

    Raises:
        UserError: this version is there, or cannot be written, or the version is no such text.
        MissingPackage: tensorflow-datasets or TensorFlow is not installed.
    """
    tfds = import_tfds("Sets of TensorFlow Datasets are written")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise UserError(f"--version {version}: it is no version; give three numbers, such as 1.0.0.")
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    name = name if name[:1].isalpha() else f"corpus_{name}"
    target = folder / name / version
    if target.exists():
        raise UserError(f"{target}: it is there already; choose another --version or --out, or delete it.")
    spec = _features(tfds, store.utterances, labels)
    clipped: list[str] = []
    try:
        # What the package prints would stand between the lines of the command.
        with disk_errors(folder, "--out"), contextlib.redirect_stdout(io.StringIO()):
            folder.mkdir(parents=True, exist_ok=True)
            tfds.disable_progress_bar()
            tfds.dataset_builders.store_as_tfds_dataset(
                name=name,
                version=version,
                features=tfds.features.FeaturesDict(spec),
                split_datasets={"train": _records(store, spec, clipped)},
                data_dir=folder,
                description="Clips of speech with emotions, written by serjax.",
                file_format=form,
                disable_shuffling=True,
            )
    except UserError:
        raise
    except Exception as error:  # of TensorFlow's files, which are no OSError
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"{target}: it cannot be written ({first}); make room, or choose another --out.") from None
    return Written(target, len(clipped))


def _features(tfds: Any, clips: Sequence[Utterance], labels: Sequence[str]) -> dict[str, Any]:
    """Return the features of a set: those that a clip has a value of."""
    spec: dict[str, Any] = {
        "audio": tfds.features.Audio(shape=(None,), dtype=np.int16, sample_rate=SAMPLE_RATE),
        "label": tfds.features.ClassLabel(names=list(labels)),
    }
    spec |= {name: np.str_ for name, field in _TEXTS.items() if any(getattr(clip, field) for clip in clips)}
    spec |= {name: np.str_ for name in _ATTRIBUTES if any(name in dict(clip.attributes) for clip in clips)}
    for group in ("values", "votes"):
        names = dict.fromkeys(name for clip in clips for name, _ in getattr(clip, group))
        if names:
            spec[group] = dict.fromkeys(names, np.float64)
    return spec


def _records(store: ClipStore, spec: dict[str, Any], clipped: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each clip's place and features, and note the ids of those with samples beyond full scale."""
    with progress_bar("clips") as bar:
        task = bar.add_task("writing", total=len(store), rate="")
        for number, clip in enumerate(store.utterances):
            samples, beyond = to_16_bits(store.clip(number))
            if beyond:
                clipped.append(clip.id)
            known = {name: getattr(clip, field) for name, field in _TEXTS.items()} | dict(clip.attributes)
            record = {name: known.get(name) or "" for name, kind in spec.items() if kind is np.str_}
            for group in ("values", "votes"):
                if group in spec:
                    record[group] = dict.fromkeys(spec[group], np.nan) | dict(getattr(clip, group))
            yield number, record | {"audio": samples, "label": clip.label}
            bar.advance(task)


def to_16_bits(samples: Float32[np.ndarray, "t"]) -> tuple[Int16[np.ndarray, "t"], bool]:
    """Return samples in -1..1 as integers of 16 bits, and whether some lay beyond."""
    scaled = np.rint(samples.astype(np.float64) * 2**15)
    limited = np.clip(scaled, -(2**15), 2**15 - 1)
    # Full scale itself is one step too many, which is no news.
    return limited.astype(np.int16), bool((np.abs(scaled) > 2**15).any())
