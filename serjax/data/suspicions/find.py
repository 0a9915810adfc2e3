"""Signs that clips or folds are not as they should be, found in one place for a look and for `--dry-run`."""

from collections.abc import Mapping, Sequence

from serjax.audio.levels import Levels
from serjax.data.folds.fold import Fold
from serjax.data.suspicions.clips import of_clips
from serjax.data.suspicions.folds import of_folds
from serjax.data.suspicions.labels import of_labels
from serjax.data.suspicions.record import Suspicion
from serjax.data.suspicions.sound import of_sound
from serjax.data.utterance import Utterance


def find_suspicions(
    utterances: Sequence[Utterance], levels: Mapping[int, Levels], folds: Sequence[Fold] = ()
) -> list[Suspicion]:
    """Return everything that should be looked at before training; none where all is well. What is refused comes first.

    Speakers and copies on both sides of a fold are for `check_folds`, which refuses or tells them.

    Args:
        utterances: the clips, one or more.
        levels: of those that were measured, by their positions.
        folds: those that are to be trained; none where there are none yet.
    """
    found = [*of_labels(utterances), *of_clips(utterances), *of_sound(utterances, levels)]
    if folds:
        found += of_folds(utterances, folds)
    return sorted(found, key=lambda one: not one.refused)
