"""Clips that sound alike, found in a store before folds are made where these may divide them."""

import contextlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serjax.audio.prints import find_alike, sound_print
from serjax.data.config import FoldsConfig
from serjax.data.folds.make import fold_kind
from serjax.data.store.clips import ClipStore
from serjax.data.store.decoded import THREADS
from serjax.data.utterance import Utterance
from serjax.runtime import distributed
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json
from serjax.runtime.progress import progress_bar

MOST = 50_000
"""Clips that are compared; of more, each with all others takes too long."""
_KEPT = "alike-1.json"
"""File in the folder of a store, whose name is a key of its contents; its number is raised where prints change."""
_BY_SPEAKER = frozenset(("speaker", "leave_speaker_out", "speaker_groups", "split_speakers"))


def may_divide(utterances: Sequence[Utterance], config: FoldsConfig) -> bool:
    """Return whether folds may divide the clips of a speaker, and with them copies of a clip."""
    named = all(clip.speaker is not None for clip in utterances)
    return not (named and fold_kind(utterances, config) in _BY_SPEAKER)


def alike_clips(store: ClipStore) -> list[list[int]]:
    """Return groups of clips that are copies at another speed, level or pitch, with noise, cut or delayed.

    Those of equal samples are not among them, unless others are with them: `check_folds` finds these.

    Args:
        store: the decoded clips, `MOST` at most.
    """
    return distributed.from_first("clips that sound alike", lambda: _once(store))


def _once(store: ClipStore) -> list[list[int]]:
    """Find them, or read what was found for this store before."""
    path = store.folder / _KEPT
    with contextlib.suppress(UserError, OSError):
        if path.exists():
            kept = read_json(path)
            if kept.get("clips") == len(store) and _are_groups(kept.get("groups"), len(store)):
                groups: list[list[int]] = kept["groups"]
                return groups
    found = _find(store)
    with contextlib.suppress(UserError):  # it is found again
        write_text(path, json.dumps({"clips": len(store), "groups": found}), "--data.cache")
    return found


def _are_groups(groups: Any, count: int) -> bool:
    """Return whether a value is a list of groups of two clips or more, none of which stands twice."""
    if not (isinstance(groups, list) and all(isinstance(group, list) and len(group) > 1 for group in groups)):
        return False
    clips = [clip for group in groups for clip in group]
    whole = all(type(clip) is int and 0 <= clip < count for clip in clips)
    return whole and len(set(clips)) == len(clips)


def _find(store: ClipStore) -> list[list[int]]:
    pool = ThreadPoolExecutor(THREADS)
    with progress_bar("clips") as bar:
        task = bar.add_task("comparing", total=2 * len(store), rate="")
        prints = []
        try:
            for one in pool.map(lambda i: sound_print(store.clip(i)), range(len(store))):
                prints.append(one)
                bar.advance(task)
        finally:
            pool.shutdown(cancel_futures=True)
        return find_alike(prints, lambda i, j: store.hashes[i] == store.hashes[j], lambda: bar.advance(task))
