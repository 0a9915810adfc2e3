"""Numbers of a look at a corpus as one dictionary, which JSON, tables, pictures and the page are made from."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from serjax.audio.levels import Levels, decibels
from serjax.data.look.measured import Measured
from serjax.data.look.reading import Reading
from serjax.data.suspicions.find import find_suspicions
from serjax.data.suspicions.record import Suspicion
from serjax.data.suspicions.sound import SILENT, copies, of_errors, of_prints
from serjax.data.utterance import Utterance, values_by_name
from serjax.evaluation.agreement import fleiss_kappa, krippendorff_alpha, majority_shares
from serjax.runtime.version import __version__

Report = dict[str, Any]

BINS = 40
"""Of histograms."""
_LOUDEST = 20.0
"""dB relative to full scale of the last bin: louder is no sound."""
_WIDE = 20.0
"""Largest by median value from which on the bins of a histogram are as wide in proportion."""

Bins = Literal["free", "share", "decibels"]

MEASURES: Mapping[str, tuple[Callable[[Levels], float], Bins]] = {
    "seconds": (lambda one: one.seconds, "free"),
    "peak_dbfs": (lambda one: decibels(one.peak), "decibels"),
    "rms_dbfs": (lambda one: decibels(one.rms), "decibels"),
    "clipped": (lambda one: one.clipped, "share"),
    "silent": (lambda one: one.silent, "share"),
    "offset": (lambda one: one.offset, "share"),
}
"""Measurements whose distributions are told, see `serjax.audio.levels.Levels`, and the bins of their histograms."""


def build_report(reading: Reading, measured: Measured | None, root: str) -> Report:
    """Return everything that is told of a corpus, as JSON can write it.

    Args:
        reading: the clips.
        measured: their measurements; None: no file was opened.
        root: as it was given.
    """
    clips = reading.utterances
    levels = {} if measured is None else measured.levels
    errors = {} if measured is None else measured.errors
    found = [*reading.suspicions, *of_errors(clips, errors), *_of_clips(reading, levels)]
    if measured is not None:
        found += of_prints(clips, measured.prints, {i: one.digest for i, one in levels.items()})
    found.sort(key=lambda one: (one.kind != "refused", not one.refused))
    speakers = sorted({clip.speaker for clip in clips if clip.speaker is not None})
    counts = Counter((clip.label, clip.speaker) for clip in clips)
    return {
        "serjax": __version__,
        "root": root,
        "name": reading.name,
        "labelled": reading.labelled,
        "notes": list(reading.notes),
        "clips": len(clips),
        "measured": None if measured is None else len(levels),
        "stopped": measured is not None and measured.stopped,
        "seconds": sum(one.seconds for one in levels.values()) if levels else None,
        "classes": [_class(label, clips, levels) for label in reading.labels],
        "speakers": speakers,
        "clips_without_speaker": sum(clip.speaker is None for clip in clips),
        "clips_of_speakers": [[counts[label, speaker] for speaker in speakers] for label in reading.labels],
        "sound": _sound(levels) if levels else None,
        "duplicates": [] if measured is None else _duplicates(clips, measured),
        "agreement": _agreement(clips),
        "values": _values(clips),
        "unreadable": [{"clip": clips[i].id, "reason": text} for i, text in errors.items()],
        "files": None
        if reading.files is None
        else {
            "sounds": len(reading.files.sounds),
            "not_read": dict(reading.files.unread),
            "others": dict(reading.files.others),
            "hidden": len(reading.files.hidden),
        },
        "suspicions": [
            {"kind": one.kind, "what": one.what, "remedy": one.remedy, "clips": list(one.clips), "refused": one.refused}
            for one in found
        ],
    }


def distribution(values: Sequence[float], bins: Bins = "free") -> Report:
    """Return extremes, quantiles, mean and a histogram of values, of which there is one or more.

    Args:
        values: finite numbers.
        bins: of the histogram. free: `BINS` between the extremes, as wide in proportion where all are positive and the
            largest is many times the median. share: `BINS` from 0 on. decibels: one for each dB, the last of them for
            all above.
    """
    array = np.array(values, np.float64)
    low, fifth, middle, most, high = np.quantile(array, [0, 0.05, 0.5, 0.95, 1])
    if bins == "decibels":
        drawn = np.minimum(array, _LOUDEST)
        edges = np.arange(np.floor(drawn.min()), np.floor(drawn.max()) + 2)
    else:
        drawn = array
        edges = _edges(low, middle, high) if bins == "free" else np.linspace(0, max(high, 1e-6), BINS + 1)
    counts, edges = np.histogram(drawn, edges)
    return {
        "min": float(low),
        "p5": float(fifth),
        "median": float(middle),
        "p95": float(most),
        "max": float(high),
        "mean": float(array.mean()),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }


def _edges(low: float, middle: float, high: float) -> Float64[np.ndarray, "bins"]:
    if low > 0 and high > _WIDE * middle:
        edges = np.geomspace(low, high, BINS + 1)
    elif high - low > 1e-9 * max(abs(low), abs(high), 1e-9):
        edges = np.linspace(low, high, BINS + 1)
    else:
        half = 0.05 * abs(low) or 0.5
        edges = np.array([low - half, low + half])
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    return edges


def _of_clips(reading: Reading, levels: Mapping[int, Levels]) -> list[Suspicion]:
    found = find_suspicions(reading.utterances, levels)
    if reading.labelled:
        return found
    # Folders are no classes: how many clips they hold, or whether they share sounds, tells nothing.
    dropped = {"few_clips", "uneven_classes", "missing_labels"}
    return [one for one in found if one.kind not in dropped]


def _class(label: str, clips: Sequence[Utterance], levels: Mapping[int, Levels]) -> Report:
    own = [i for i, clip in enumerate(clips) if clip.label == label]
    people = {clips[i].speaker for i in own}
    measured = [levels[i] for i in own if i in levels]
    loud = [decibels(one.rms) for one in measured]
    return {
        "label": label,
        "clips": len(own),
        "speakers": None if None in people else len(people),
        "seconds": sum(one.seconds for one in measured) if measured else None,
        "median_seconds": float(np.median([one.seconds for one in measured])) if measured else None,
        "rms_dbfs": [float(one) for one in np.quantile(loud, [0.1, 0.5, 0.9])] if loud else None,
    }


def _sound(levels: Mapping[int, Levels]) -> Report:
    every = list(levels.values())
    return {
        **{name: distribution([measure(one) for one in every], bins) for name, (measure, bins) in MEASURES.items()},
        "rates": _counts(one.rate for one in every),
        "channels": _counts(one.channels for one in every),
    }


def _counts(values: Any) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}


def _duplicates(clips: Sequence[Utterance], measured: Measured) -> list[Report]:
    """Return groups of clips of the same samples, and whether their files are equal byte for byte."""
    quiet = {i for i, one in measured.levels.items() if one.deviation <= SILENT}
    groups = copies({i: one.digest for i, one in measured.levels.items()}, quiet)
    return [
        {
            "clips": [clips[i].id for i in group],
            "labels": sorted({clips[i].label for i in group}),
            "equal_bytes": len({measured.files.get(i, str(i)) for i in group}) == 1,
        }
        for group in groups
    ]


def _agreement(clips: Sequence[Utterance]) -> Report | None:
    """Return how far annotators agree; None where no clip has votes."""
    voted = [clip for clip in clips if sum(count for _, count in clip.votes) > 0]
    if not voted:
        return None
    names = sorted({name for clip in voted for name, _ in clip.votes})
    votes = np.array([[dict(clip.votes).get(name, 0.0) for name in names] for clip in voted])
    shares = majority_shares(votes)
    by_label = defaultdict(list)
    for clip, share in zip(voted, shares, strict=True):
        by_label[clip.label].append(float(share))
    totals = votes.sum(1)
    return {
        "clips": len(voted),
        "labels": names,
        "votes_a_clip": [float(totals.min()), float(np.median(totals)), float(totals.max())],
        "majority_share": distribution(shares.tolist()),
        "majority_share_by_class": {label: float(np.mean(found)) for label, found in sorted(by_label.items())},
        "without_majority": int(np.count_nonzero(np.sort(votes, 1)[:, -1] == np.sort(votes, 1)[:, -2]))
        if len(names) > 1
        else 0,
        "fleiss_kappa": fleiss_kappa(votes),
        "krippendorff_alpha": krippendorff_alpha(votes),
    }


def _values(clips: Sequence[Utterance]) -> list[Report]:
    return [
        {"name": name, "clips": len(found), "missing": len(clips) - len(found), **distribution(found)}
        for name, found in sorted(values_by_name(clips).items())
    ]
