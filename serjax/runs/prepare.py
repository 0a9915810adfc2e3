"""From settings to a set of TensorFlow Datasets on the disk."""

import logging
from pathlib import Path

from serjax.data.config import DataConfig
from serjax.data.corpora.read import describe, read_corpus
from serjax.data.corpora.tfds import import_tfds
from serjax.data.corpora.tfds_writer import Form, write_tfds
from serjax.data.store.clips import open_store
from serjax.runtime.errors import UserError
from serjax.runtime.remote import is_remote

log = logging.getLogger(__name__)


def prepare(
    config: DataConfig,
    out: Path | str,
    *,
    name: str | None = None,
    version: str = "1.0.0",
    form: Form = "array_record",
) -> Path:
    """Write the clips that `config` names as a set, and return its folder.

    They are decoded once, into the cache, and a call that was stopped goes on from there; the set itself is then
    written anew.

    Args:
        config: where the clips are and how they are decoded.
        out: folder of all sets, on a disk.
        name: of the set; by default the corpus's.
        version: of the set.
        form: of its files.

    Raises:
        UserError: the clips cannot be used, or the set cannot be written; see `read_corpus`, `open_store` and
            `write_tfds`.
    """
    if is_remote(str(out)):
        raise UserError(f"--out {out}: a set is written on a disk; give a folder, and copy it to the bucket then.")
    import_tfds("Sets of TensorFlow Datasets are written")  # before the clips are decoded, which takes long
    corpus = read_corpus(config)
    for note in corpus.notes:
        log.info(note)
    store = open_store(
        corpus.utterances,
        Path(config.cache or "checkpoints") / "clips",
        skip_bad=config.skip_bad,
        vad=config.vad,
        cutoff=config.highpass,
    )
    for line in store.skipped:
        log.warning(f"skipped: {line}")
    log.info(describe(store.utterances, corpus.labels))
    written = write_tfds(store, corpus.labels, Path(out), name=name or corpus.name, version=version, form=form)
    if written.clipped:
        log.warning(f"{written.clipped} clips have samples beyond full scale, which are kept at full scale.")
    return written.folder
