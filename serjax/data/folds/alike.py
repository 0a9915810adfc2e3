"""Clips that sound alike, found in a store before folds are made where these may divide them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from serjax.audio.prints import find_alike, sound_print
from serjax.data.config import FoldsConfig
from serjax.data.folds.make import fold_kind
from serjax.data.store.clips import ClipStore
from serjax.data.store.decoded import THREADS
from serjax.data.utterance import Utterance
from serjax.runtime import distributed
from serjax.runtime.progress import progress_bar

MOST = 50_000
"""Clips that are compared; of more, each with all others takes too long."""
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
    return distributed.from_first("clips that sound alike", lambda: _find(store))


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
