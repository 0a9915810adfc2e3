"""Suspicions about sound: silence, garbage, channels that cancel, offsets, clipping, lengths, rates and copies."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from serjax.audio import SAMPLE_RATE
from serjax.audio.decode import RECEPTIVE_FIELD
from serjax.audio.faults import GARBAGE, SILENT
from serjax.audio.highpass import LARGE_OFFSET
from serjax.audio.levels import Levels, decibels
from serjax.audio.prints import Print, find_alike
from serjax.data.suspicions.record import Suspicion, plural
from serjax.data.utterance import Utterance
from serjax.runtime.errors import one_of

QUIET_DBFS = -60.0
"""RMS in dB relative to full scale below which a clip is very quiet: 10 bits of 16 are left unused."""
CLIPPED = 1e-3
"""Share of samples at full scale from which on clipping is told, a threshold of our own."""
MOSTLY_SILENT = 0.9
"""Share of silent frames from which on a clip is told."""
SHORT = 0.5
"""Seconds below which a clip holds a word at most."""
LONG = 10.0
"""Times the median length from which on a clip is far longer than the rest."""


def of_sound(utterances: Sequence[Utterance], levels: Mapping[int, Levels]) -> Iterator[Suspicion]:
    """Yield what is suspicious about the measurements of clips.

    Args:
        utterances: the clips.
        levels: of those that were measured, by their positions.
    """
    clips = _Clips(utterances, levels)
    silent = clips.where(lambda one: one.deviation <= SILENT)
    yield from clips.told(
        "silent",
        silent,
        "{clips} silent: all zero, or one value throughout.",
        "Get them again, or delete them.",
    )
    yield from clips.told(
        "garbage",
        clips.where(lambda one: one.peak >= GARBAGE),
        f"{{clips}} no sound: samples reach {max((one.peak for one in levels.values()), default=0):.3g}, where full "
        "scale is 1.",
        "Convert them again, with floats in -1..1 or with integers, or delete them.",
    )
    yield from clips.told(
        "cancelled_channels",
        clips.where(lambda one: one.cancelled),
        "{clips} of channels that cancel each other in their mean, as where one is the other inverted.",
        "The loudest channel is taken alone, here and in training; convert them to mono by one channel to be sure.",
    )
    yield from _offsets(clips, silent)
    yield from clips.told(
        "clipping",
        clips.where(lambda one: one.clipped >= CLIPPED and one.peak < GARBAGE),
        f"{{clips}} clipped: {CLIPPED:.1%} or more of the samples are at full scale.",
        "Look for a version that was recorded at a lower level; where there is none, keep them.",
    )
    yield from clips.told(
        "very_quiet",
        clips.where(lambda one: one.deviation > SILENT and decibels(one.deviation) < QUIET_DBFS),
        f"{{clips}} very quiet, below {QUIET_DBFS:g} dBFS RMS.",
        "Listen to some: they may hold no speech, or have been recorded far too low.",
    )
    yield from clips.told(
        "mostly_silent",
        clips.where(lambda one: one.deviation > SILENT and one.peak < GARBAGE and one.silent >= MOSTLY_SILENT),
        f"{{clips}} silence for {MOSTLY_SILENT:.0%} or more.",
        "See whether they hold speech; --data.vad energy leaves silence out.",
    )
    yield from _lengths(clips)
    yield from clips.told(
        "broken_off",
        clips.where(lambda one: one.missing * one.rate >= 1),
        "{clips} broken off before the end that their headers give.",
        "Get them again; otherwise what is there is used.",
    )
    yield from _kinds(clips)
    yield from _copies(clips, set(silent))


class _Clips:
    """Clips and the measurements of some of them."""

    def __init__(self, utterances: Sequence[Utterance], levels: Mapping[int, Levels]) -> None:
        self.utterances, self.levels = utterances, levels

    def where(self, test: Callable[[Levels], bool]) -> list[int]:
        """Return positions of the clips of which a test holds."""
        return [i for i, one in self.levels.items() if test(one)]

    def told(self, kind: str, found: Sequence[int], what: str, remedy: str, refused: bool = False) -> list[Suspicion]:
        """Return the suspicion about some clips, none where there are none; `{clips}` becomes `2 clips (a, b) are`."""
        ids = tuple(self.utterances[i].id for i in found)
        clips = f"{plural(len(ids))} ({one_of(list(ids), 3)}) {'is' if len(ids) == 1 else 'are'}"
        return [Suspicion(kind, what.format(clips=clips), remedy, ids, refused)] if ids else []


def _offsets(clips: _Clips, silent: Sequence[int]) -> Iterator[Suspicion]:
    hidden = set(silent)
    large = [i for i in clips.where(lambda one: one.offset > LARGE_OFFSET) if i not in hidden]
    if large:
        most = max(abs(clips.levels[i].mean) / clips.levels[i].deviation for i in large)
        yield from clips.told(
            "dc_offset",
            large,
            f"{{clips}} of a large DC offset, above {LARGE_OFFSET:.0%} of the RMS, up to {most:.3g} times the signal, "
            "which models hear.",
            "--data.highpass 20 removes it.",
        )


def _lengths(clips: _Clips) -> Iterator[Suspicion]:
    frame = RECEPTIVE_FIELD / SAMPLE_RATE
    yield from clips.told(
        "shorter_than_a_frame",
        clips.where(lambda one: one.seconds < frame),
        f"{{clips}} shorter than a frame of an encoder ({1000 * frame:g} ms).",
        "Delete them, or leave them out with --data.skip-bad.",
        refused=True,
    )
    yield from clips.told(
        "short",
        clips.where(lambda one: frame <= one.seconds < SHORT),
        f"{{clips}} shorter than {SHORT:g} s.",
        "See whether they hold speech.",
    )
    if len(clips.levels) > 2:
        middle = statistics.median(one.seconds for one in clips.levels.values())
        yield from clips.told(
            "far_longer",
            clips.where(lambda one: one.seconds >= LONG * middle),
            f"{{clips}} {LONG:g} or more times as long as the median of {middle:.2f} s.",
            "Models hear data.max-seconds of a clip at once; cut them, or give stretches in a list (start, end).",
        )


def _kinds(clips: _Clips) -> Iterator[Suspicion]:
    """Yield mixed rates and numbers of channels."""
    rates = {i: one.rate for i, one in clips.levels.items()}
    remedy = "All are resampled to 16 kHz; see where they come from, since a low rate is heard as missing high tones."
    yield from _mixed(clips, "mixed_rates", "Hz", rates, remedy)
    channels = {i: one.channels for i, one in clips.levels.items()}
    remedy = "Channels are averaged; see whether each holds the same voice."
    yield from _mixed(clips, "mixed_channels", "channel(s)", channels, remedy)


def _mixed(clips: _Clips, kind: str, unit: str, values: Mapping[int, int], remedy: str) -> Iterator[Suspicion]:
    """Yield that values differ; that one of them has all clips of some classes and no others, is worse."""
    counts = Counter(values.values())
    if len(counts) < 2:
        return
    classes, labels = defaultdict(set), defaultdict(set)
    for i, value in values.items():
        label = clips.utterances[i].label
        classes[label].add(value)
        labels[value].add(label)
    own = [value for value in sorted(counts) if all(len(classes[label]) == 1 for label in labels[value])]
    alone = [f"{value} {unit}: {one_of(sorted(labels[value]), 3)}" for value in own]
    listing = ", ".join(f"{plural(count)} of {value} {unit}" for value, count in counts.most_common(8))
    usual = counts.most_common(1)[0][0]
    yield Suspicion(
        kind,
        f"Recordings differ: {listing}." + (f" Classes have one of their own ({one_of(alone, 3)})." if own else ""),
        remedy + (" A model may tell these classes by how they were recorded." if own else ""),
        tuple(clips.utterances[i].id for i, value in values.items() if value != usual),
    )


def copies(digests: Mapping[int, str], besides: frozenset[int] | set[int] = frozenset()) -> list[list[int]]:
    """Return groups of positions whose digests are equal, but for some positions."""
    groups = defaultdict(list)
    for i, digest in sorted(digests.items()):
        if i not in besides:
            groups[digest].append(i)
    return [group for group in groups.values() if len(group) > 1]


def _copies(clips: _Clips, silent: set[int]) -> Iterator[Suspicion]:
    groups = copies({i: one.digest for i, one in clips.levels.items()}, silent)
    if not groups:
        return
    differ = [group for group in groups if len({clips.utterances[i].label for i in group}) > 1]
    for kind, those in (("copies_of_two_classes", differ), ("copies", [one for one in groups if one not in differ])):
        if not those:
            continue
        ids = tuple(clips.utterances[i].id for group in those for i in group)
        shown = one_of([" = ".join(clips.utterances[i].id for i in group[:3]) for group in those], 2)
        if kind == "copies":
            what = f"{plural(len(those), 'sound')} at several names ({shown}), {len(ids)} clips in all."
            remedy = "Delete the copies; otherwise those of a tested clip are left out of its fold's training."
        else:
            what = f"{plural(len(those), 'sound')} at several names and of several classes ({shown})."
            remedy = "Correct the labels, or delete the clips."
        yield Suspicion(kind, what, remedy, ids, refused=kind != "copies")


def of_prints(
    utterances: Sequence[Utterance], prints: Mapping[int, Print | None], digests: Mapping[int, str]
) -> list[Suspicion]:
    """Return the suspicion about clips that are altered copies of others; none where there are none.

    Args:
        utterances: the clips.
        prints: of their sounds, by their positions.
        digests: of their samples; those of equal ones are told elsewhere.
    """
    places = list(prints)
    groups = find_alike([prints[i] for i in places], lambda one, other: digests[places[one]] == digests[places[other]])
    if not groups:
        return []
    clips = [[utterances[places[i]] for i in group] for group in groups]
    shown = one_of([" = ".join(clip.id for clip in group[:3]) for group in clips], 2)
    differ = sum(len({clip.label for clip in group}) > 1 for group in clips)
    labels = f", {differ} of them with several labels" if differ else ""
    ids = tuple(clip.id for group in clips for clip in group)
    return [
        Suspicion(
            "altered_copies",
            f"{plural(len(ids))} in {plural(len(groups), 'group')} sound alike ({shown}){labels}, as a recording does "
            "at another speed, level or pitch, or with noise.",
            "See whether they are augmented copies, and leave these out: training makes its own. Folds keep them on "
            "one side.",
            ids,
        )
    ]


def of_errors(utterances: Sequence[Utterance], errors: Mapping[int, str]) -> list[Suspicion]:
    """Return the suspicion about clips that cannot be decoded, by their positions; none where all can."""
    if not errors:
        return []
    by_reason = defaultdict(list)
    for i, text in errors.items():
        by_reason[text.partition("; ")[0].rstrip(".")].append(utterances[i].id)
    shown = one_of([f"{text}: {one_of(ids, 2)}" for text, ids in by_reason.items()], 2)
    return [
        Suspicion(
            "unreadable",
            f"{plural(len(errors))} cannot be decoded ({shown}).",
            "Get them again or convert them, or leave them out with --data.skip-bad.",
            tuple(utterances[i].id for i in errors),
            refused=True,
        )
    ]
