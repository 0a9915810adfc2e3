"""Reports of a look at a made-up corpus, as `serjax.data.look.report.build_report` returns them."""

from pathlib import Path

import numpy as np

from serjax.audio.levels import measure_samples
from serjax.data.look.measured import Measured
from serjax.data.look.reading import Reading
from serjax.data.look.report import build_report
from serjax.data.suspicions.record import Suspicion
from serjax.data.utterance import Utterance


def corpus_report(
    classes=("angry <&>", "calm", "sad"), people=3, *, sound=True, votes=True, values=True, stopped=False
):
    """Return the report of two clips of each speaker in each class; one clip cannot be read, and two are the same."""
    rng = np.random.default_rng(0)
    clips, levels = [], {}
    for number, label in enumerate(classes):
        for who in range(people):
            for n in range(2):
                given = ((label, 2.0), ("other", 1.0 + n)) if votes else ()
                numbers = (("arousal", number + 0.5 * n), ("valence", -float(who))) if values else ()
                name = f"{label}/p{who}_{n}"
                clips.append(Utterance(name, Path("/c", name), label, f"p{who}", values=numbers, votes=given))
                wave = 0.1 * (number + 1) * rng.standard_normal(4000 + 1000 * who).astype(np.float32)
                levels[len(clips) - 1] = measure_samples(wave)
    levels[1] = levels[0]
    errors = {len(clips) - 1: "it is damaged; get it again."}
    del levels[len(clips) - 1]
    told = Suspicion("refused", "It <b>cannot</b> be.", "Change it.", tuple(f"clip{n}" for n in range(250)), True)
    reading = Reading("Corpus", tuple(clips), tuple(classes), ("A note.",), (told,), True, None)
    measured = Measured(levels, errors, {0: "x", 1: "x"}, stopped) if sound else None
    return build_report(reading, measured, "DIR")
