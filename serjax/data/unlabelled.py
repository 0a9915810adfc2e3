"""Recordings without labels: every sound file below a folder."""

import logging
from collections.abc import Set
from pathlib import Path

from serjax.data.config import DataConfig
from serjax.data.corpora.folders import audio_files
from serjax.data.store.clips import ClipStore, open_store
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)


def open_unlabelled(root: Path, option: str, config: DataConfig, cache: Path) -> ClipStore:
    """Decode every sound file below a folder; names begin with the folder's.

    Args:
        root: folder of recordings.
        option: that gave it, for messages.
        config: how clips are decoded.
        cache: folder in which decoded clips are kept, in a folder of their own.

    Raises:
        UserError: there is no such folder, or no sound file in it; or as `open_store`.
    """
    if not root.is_dir():
        raise UserError(f"{option} {root}: there is no such folder; give a folder of recordings.")
    files, notes = audio_files(root)
    for note in notes:
        log.info(note)
    base = root.resolve()
    clips = [
        Utterance(id=f"{base.name}/{path.relative_to(root.absolute()).with_suffix('').as_posix()}", path=path, label="")
        for path in files
    ]
    store = open_store(
        clips,
        cache / "clips",
        skip_bad=config.skip_bad,
        vad=config.vad,
        cutoff=config.highpass,
        keep=config.keep_decoded,
    )
    for line in store.skipped:
        log.warning(f"skipped: {line}")
    log.info(f"{len(store)} clips below {root}, without labels.")
    return store


def fresh_clips(store: ClipStore, known: Set[str], option: str) -> tuple[int, ...]:
    """Return the positions of clips whose samples are not known yet, and tell how many others are left out.

    Args:
        store: the clips.
        known: hashes of samples.
        option: that gave the clips, for messages.

    Raises:
        UserError: all are known.
    """
    fresh = tuple(i for i, value in enumerate(store.hashes) if value not in known)
    if not fresh:
        raise UserError(f"{option}: all its {len(store)} clips are clips of --data.root too; give another corpus.")
    if len(fresh) < len(store):
        log.info(f"{len(store) - len(fresh)} clips of {option} are clips of --data.root too; they are left out.")
    return fresh
