"""Measurements of all clips of a corpus, by threads: statistics alone are kept, and Ctrl-C leaves those made so far."""

import hashlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from serjax.audio.decode import decode
from serjax.audio.levels import Levels, measure
from serjax.audio.prints import Print, sound_print
from serjax.data.store.decoded import THREADS
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, reason
from serjax.runtime.preemption import Terminated
from serjax.runtime.progress import progress_bar
from serjax.runtime.remote import is_remote

LONGEST = 30.0
"""Seconds of a clip whose sound is compared with others'; a longer one would be decoded into memory for it."""
MOST = 50_000
"""Clips whose sounds are compared."""
_AHEAD = 4 * THREADS
"""Clips that may be measured ahead."""


class Measured(NamedTuple):
    """Measurements by the clips' positions.

    Attributes:
        levels: of clips that could be measured.
        errors: sentences on the others, without their paths.
        files: hashes of the bytes of files that are as long as another one.
        stopped: whether Ctrl-C came before all were looked at; then they are a random part.
        prints: of the sound, of clips up to `LONGEST`, by which altered copies are known.
    """

    levels: Mapping[int, Levels]
    errors: Mapping[int, str]
    files: Mapping[int, str]
    stopped: bool = False
    prints: Mapping[int, Print | None] = MappingProxyType({})

    @property
    def done(self) -> int:
        """Number of clips that were looked at."""
        return len(self.levels) + len(self.errors)


def measure_clips(utterances: Sequence[Utterance], *, seed: int = 0) -> Measured:
    """Measure clips, in a random order, so that those measured before a stop stand for all; Ctrl-C stops.

    Each recording is read block by block; memory holds a block for each thread, and a few numbers for each clip.

    Args:
        utterances: the clips; several may be stretches of one file.
        seed: of the order.
    """
    sizes = {clip.path: _size(clip.path) for clip in utterances}
    often = Counter(sizes.values())
    hashed = {path for path, size in sizes.items() if size is not None and often[size] > 1}
    levels: dict[int, Levels] = {}
    errors: dict[int, str] = {}
    files: dict[int, str] = {}
    prints: dict[int, Print | None] = {}
    order = np.random.default_rng(seed).permutation(len(utterances)).tolist()
    waiting: deque[tuple[int, Future[_One]]] = deque()

    def take() -> None:
        i, future = waiting.popleft()
        found = future.result()
        if found.levels is not None:
            levels[i] = found.levels
            prints[i] = found.sound
        else:
            errors[i] = found.error
        if found.digest is not None:
            files[i] = found.digest

    pool = ThreadPoolExecutor(THREADS)
    stopped = False
    try:
        with progress_bar("clips") as bar:
            task = bar.add_task("looking", total=len(order), rate="")
            for i in order:
                waiting.append((i, pool.submit(_look, utterances[i], utterances[i].path in hashed, len(order) <= MOST)))
                if len(waiting) > _AHEAD:
                    take()
                    bar.advance(task)
            while waiting:
                take()
                bar.advance(task)
    except Terminated:
        raise
    except KeyboardInterrupt:
        stopped = True
    finally:
        pool.shutdown(cancel_futures=True)
    by_clip = (dict(sorted(levels.items())), dict(sorted(errors.items())), dict(sorted(files.items())))
    return Measured(*by_clip, stopped, dict(sorted(prints.items())))


class _One(NamedTuple):
    levels: Levels | None
    error: str
    digest: str | None
    sound: Print | None = None


def _look(clip: Utterance, hashed: bool, printed: bool) -> _One:
    try:
        whole = clip.start == 0 and clip.end is None
        digest = _digest(clip.path) if hashed and whole else None
        levels = measure(clip.path, start=clip.start, end=clip.end)
        if not printed or levels.seconds > LONGEST:
            return _One(levels, "", digest)
        return _One(levels, "", digest, sound_print(decode(clip.path, start=clip.start, end=clip.end)))
    except (UserError, OSError) as error:
        return _One(None, reason(error).removeprefix(f"{clip.path}: "), None)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _size(path: Path) -> int | None:
    """Return the bytes of a file on a disk; None for one behind a URL, or that is missing."""
    try:
        return None if is_remote(path) else path.stat().st_size
    except OSError:
        return None
