"""Ensembles of a run's folds, or of one published model, called with clips."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from serjax.audio import SAMPLE_RATE
from serjax.audio.highpass import LARGE_OFFSET, dc_offset, highpass
from serjax.audio.vad import Activity, trim
from serjax.checkpoints.bundle import Models
from serjax.data.batching.lengths import crop_clip
from serjax.evaluation.conformal import label_sets, mean_p_values
from serjax.inference.attention import cross_attention
from serjax.inference.batched import batches, join, member_embeddings, member_logits, owner_means
from serjax.inference.choose import check_coverage, chosen_classes, member_shares
from serjax.inference.inputs import Clip, Sample, rate_of, read_for
from serjax.inference.live import LiveStream
from serjax.inference.scores import Scoring
from serjax.inference.timeline import Channels, Sound, Timeline, timeline
from serjax.inference.windows import LONGEST, spread
from serjax.models.functional import cast
from serjax.runtime.errors import UserError
from serjax.runtime.fingerprint import fingerprint
from serjax.runtime.memory import memory_errors

LongClips = Literal["windows", "head", "whole"]
"""Clips that are longer than a model hears: the mean over windows, the stretch a run was trained on, or all at once."""

Scores = list[dict[str, Any]]
"""[{"label": str, "score": float}, ...] in descending order.

Scores are probabilities that add up to 1, or as the checkpoint's problem_type says: one probability a label
(multi_label_classification), or values that are no probabilities (regression).
"""


class Ensemble:
    """A run's folds, or one published model, answering together."""

    def __init__(
        self,
        models: Models,
        weights: Sequence[float] | None = None,
        long_clips: LongClips = "windows",
        only: Sequence[str] | None = None,
    ) -> None:
        """Keep the models; nothing is compiled before the first call.

        Args:
            models: the members.
            weights: how much each fold counts; equally by default.
            long_clips: how clips are answered that are longer than the models hear.
            only: classes that are told apart; all by default.

        Raises:
            UserError: not one weight a fold, a negative one, or all zero; whole clips are asked of a run; or
                classes that the models do not have.
        """
        shares = member_shares(models.folds, weights)
        if long_clips == "whole" and models.max_seconds is not None:
            raise UserError(
                f"these models were trained on {models.max_seconds:g} s of a clip at most; leave --whole out, and "
                "longer clips are answered by the mean over windows."
            )
        chosen = chosen_classes(models.labels, models.outputs, only)
        self.labels = models.labels if chosen is None else tuple(models.labels[place] for place in chosen)
        self.folds = tuple(dict.fromkeys(models.folds))
        self.outputs = models.outputs
        self.modalities = models.modalities
        self.notes = models.notes
        self.max_seconds, self.crop, self.highpass = models.max_seconds, models.crop, models.highpass
        self.vad = models.vad
        # Weights are brought to their dtype once, not in each call.
        self._models = models._replace(
            params=cast(models.params, models.dtype), shared=cast(models.shared, models.dtype)
        )
        self.parameters = self._models.params, self._models.shared
        self._logits = jax.jit(member_logits, static_argnames=("graphdef", "dtype"))
        self._embed = jax.jit(member_embeddings, static_argnames=("graphdef", "dtype"))
        temperature = None
        if models.calibration is not None:
            temperature = np.array([one.temperature for one in models.calibration.members], np.float32)
        if models.place is not None:
            first, end = models.place
            chosen = tuple(range(first, end)) if chosen is None else tuple(first + place for place in chosen)
        self.scoring = Scoring(models.outputs, shares, temperature, chosen, models.ranges)
        self.min_samples = models.min_samples
        # The picture belongs to all of the sound, so that models of both hear the stretch they were trained on.
        self.long_clips: LongClips = "head" if models.video is not None else long_clips

    @overload
    def __call__(self, clips: Clip) -> Scores: ...

    @overload
    def __call__(self, clips: list[Clip]) -> list[Scores]: ...

    def __call__(self, clips: Clip | list[Clip]) -> Scores | list[Scores]:
        """Return the emotions of one clip, or of each of a list of clips.

        Args:
            clips: a path or URL; samples with their rate; or a list of those.

        Raises:
            UserError: a clip that cannot be read, or that is too short.
        """
        if not isinstance(clips, list):
            return self([clips])[0]
        return [self.ranked(row) for row in self.probabilities(self._read(clips))] if clips else []

    def embeddings(self, clips: Clip | list[Clip]) -> Float[np.ndarray, "*clips k d"]:
        """Return what the classifier of each member takes of a clip: its pooled vector.

        Of a speech encoder it is the pooled output, of other models what `serjax.models.embedding.embed` says. Each
        member has a space of its own: do not average over folds, but train on those of one, or side by side. Members
        that share a frozen encoder and pool without weights give the same vectors.

        Args:
            clips: one clip [k d], or a list of clips [clips k d]; k counts the members in the order of `folds`.

        Raises:
            UserError: there is no clip, or one that cannot be read or is too short.
        """
        if not isinstance(clips, list):
            return self.embeddings([clips])[0]
        if not clips:
            raise UserError("there are no clips; give at least one.")
        return self.vectors(self._read(clips))

    def vectors(self, samples: Sequence[Sample]) -> Float[np.ndarray, "clips k d"]:
        """Return the embeddings of clips that were read, see `embeddings`."""
        return self._of_clips(samples, self._embed)

    def timeline(
        self,
        sound: Sound,
        window: float | None = None,
        hop: float | None = None,
        *,
        channels: Channels = "mix",
        vad: Activity = "none",
    ) -> Timeline:
        """Return the answers for windows that slide over a recording of any length, which is read block by block.

        Args:
            sound: a path or URL, or samples [t] or [t c] with their rate in Hz.
            window: length in s; by default the longest that the model hears, of a published classifier 3 s.
            hop: from one window to the next, in s, at most `window`; by default 1 s, or a shorter window.
            channels: mix: their mean is answered, see `serjax.audio.mixing.mix`. separate: each for itself.
            vad: how the share of speech in each window is found: not at all, or see `serjax.audio.vad_stream`.

        Raises:
            UserError: a model that takes video, a window or hop that cannot be, or a recording that cannot be read.
        """
        return timeline(self, sound, window, hop, channels, vad)

    def stream(self, rate: float, window: float | None = None, hop: float | None = None) -> LiveStream:
        """Return a stream that takes sound of a rate in Hz chunk by chunk, and answers as `timeline` does."""
        return LiveStream(self, rate, window, hop)

    def _read(self, clips: list[Clip]) -> list[Sample]:
        """Return clips as these models take them; what is to be said of them are warnings."""
        rates = sorted({self.rate(clip) for clip in clips} - {SAMPLE_RATE})
        if rates:
            found = " and ".join(f"{rate:g}" for rate in rates)
            warnings.warn(f"clips of {found} Hz are resampled to {SAMPLE_RATE} Hz.", stacklevel=3)
        samples = [self.read(clip) for clip in clips]
        for sample in samples:
            for note in sample.notes:
                warnings.warn(note, stacklevel=3)
        large = sum(sample.offset > LARGE_OFFSET for sample in samples)
        if large and self.highpass is None:
            warnings.warn(
                f"{large} of the clips have a DC offset above {LARGE_OFFSET:.0%} of their RMS, which models hear; load "
                "the model with highpass=20 to remove it.",
                stacklevel=3,
            )
        return samples

    def read(self, clip: Clip) -> Sample:
        """Return a clip as these models take it, filtered and without silence, and what is to be said of it.

        Raises:
            UserError: it cannot be decoded, is too short for these models, or lacks the sound or the video that they
                cannot do without.
        """
        models = self._models
        sample, name = read_for(models, clip), f"{clip}" if isinstance(clip, (str, Path)) else "the clip"
        if len(sample.wave):
            sample = sample._replace(wave=self.prepare(sample.wave), offset=dc_offset(sample.wave))
        if models.video is not None and not models.required and len(sample.modalities) == 1:
            alone = f"{name}: answered from {min(sample.modalities)} alone."
            return sample._replace(notes=(*sample.notes, alone))
        return sample

    def fingerprint(self) -> str:
        """Return a hash of the members' parameters and weights, and of the settings that decide their answers."""
        models = self._models
        heard = models.max_seconds, models.crop, models.vad, models.highpass, self.long_clips
        settings = models.dtype, models.outputs, *heard, self.labels
        scoring = self.scoring.weights, self.scoring.temperature, self.scoring.only
        return fingerprint(models.params, models.shared, scoring, settings)

    def rate(self, clip: Clip) -> float:
        """Return the rate in Hz from which a clip's sound is brought to that of the models."""
        return rate_of(clip) if "sound" in self._models.modalities else SAMPLE_RATE

    def probabilities(self, samples: Sequence[Sample]) -> Float[np.ndarray, "clips c"]:
        """Return the members' mean scores of clips, in the order of `labels`; of several windows the mean."""
        return self.answers(samples)[0]

    def answers(
        self, samples: Sequence[Sample]
    ) -> tuple[Float[np.ndarray, "clips c"], Float[np.ndarray, "clips"] | None]:
        """Return the scores of clips, and how much the members disagree; of several windows the means.

        Raises:
            UserError: scores that are not finite.
        """
        return self._answers(samples)[:2]

    def answers_with_sets(
        self, samples: Sequence[Sample], coverage: float
    ) -> tuple[Float[np.ndarray, "clips c"], Float[np.ndarray, "clips"] | None, Bool[np.ndarray, "clips c"]]:
        """Return what `answers` returns, and which labels are in each clip's conformal set.

        Args:
            samples: the clips.
            coverage: share of clips whose set is to hold the true label; see `serjax.evaluation.conformal`.

        Raises:
            UserError: the models have no calibration, or one from too few clips; or scores that are not finite.
        """
        scores, disagreement, members = self._answers(samples)
        return scores, disagreement, self.sets(members, scores, coverage)

    def sets(
        self, members: Float[np.ndarray, "n k c"], scores: Float[np.ndarray, "n c"], coverage: float
    ) -> Bool[np.ndarray, "n c"]:
        """Return which labels are in the conformal sets of clips, from the members' scores and their mean.

        Raises:
            UserError: see `check_coverage`.
        """
        self.check_coverage(coverage)
        assert self._models.calibration is not None
        conform = [one.nonconformity for one in self._models.calibration.members]
        return label_sets(mean_p_values(members, conform, self.scoring.weights), scores, coverage)

    def check_coverage(self, coverage: float) -> None:
        """See that sets of labels of a coverage can be made; see `answers_with_sets`.

        Raises:
            UserError: they cannot.
        """
        check_coverage(self._models, self.scoring.weights, self.scoring.only, coverage)

    def _answers(self, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return the scores of clips, the members' disagreement, and their own scores [clips k c]."""
        if not samples:
            empty = np.zeros((0, len(self.labels)), np.float32)
            return empty, None, np.zeros((0, len(self.scoring.weights), len(self.labels)), np.float32)
        owners, logits = self._of_windows(samples, self._logits)
        scores, disagreement = self.scoring.scores(logits), self.scoring.disagreement(logits)
        if not np.isfinite(scores).all():
            raise UserError(
                "the answers are not finite numbers: samples are too large, or weights damaged; fetch them again."
            )
        doubts = None if disagreement is None else owner_means(disagreement, owners)
        return owner_means(scores, owners), doubts, owner_means(self.scoring.members(logits), owners)

    def logits(self, waves: Sequence[Float[np.ndarray, "_"]], longest: int | None = None) -> Float[np.ndarray, "n k c"]:
        """Return the members' logits of prepared waves at 16 kHz, for models of sound alone.

        Args:
            waves: the sound.
            longest: samples that no wave exceeds, to which they are padded at most.
        """
        return self._batched([(Sample(wave), wave) for wave in waves], self._logits, longest)

    def _of_clips(self, samples: Sequence[Sample], call: Any) -> np.ndarray:
        """Return what members make of clips [clips k ...]: of several windows the mean."""
        owners, found = self._of_windows(samples, call)
        return owner_means(found, owners)

    def _of_windows(self, samples: Sequence[Sample], call: Any) -> tuple[Int[np.ndarray, "n"], np.ndarray]:
        """Return which clip each window is of, and what members make of it [n k ...]."""
        windows = [(owner, wave) for owner, sample in enumerate(samples) for wave in self.windows(sample)]
        longest = None if self.long_clips == "whole" else self.longest
        found = self._batched([(samples[owner], wave) for owner, wave in windows], call, longest)
        return np.array([owner for owner, _ in windows]), found

    def _batched(
        self, windows: Sequence[tuple[Sample, Float[np.ndarray, "_"]]], call: Any, longest: int | None = None
    ) -> np.ndarray:
        """Return what members make of windows of samples [n k ...]."""
        models, found, order = self._models, [], []
        for batch in batches([len(wave) for _, wave in windows], longest):
            samples, waves = zip(*(windows[index] for index in batch), strict=True)
            inputs = join(waves, samples, models.video, longest)
            seconds = sum(map(len, waves)) / SAMPLE_RATE
            with memory_errors(f"{seconds:.0f} s of sound at once", "leave --whole out, or give shorter clips"):
                made = call(models.params, models.shared, inputs, graphdef=models.graphdef, dtype=models.dtype)
                found.append(np.asarray(made))
            order += batch
        return np.concatenate(found)[np.argsort(order)]

    def attention(self, sample: Sample) -> tuple[Float[np.ndarray, "f n"], float]:
        """Return what `serjax.inference.attention.cross_attention` says of a clip.

        Raises:
            UserError: the models have no cross-attention, or the clip lacks sound or video.
        """
        return cross_attention(self._models, self.scoring.weights, sample, self.heard(sample))

    def heard(self, sample: Sample) -> Float[np.ndarray, "n"]:
        """Return the stretch of a clip's sound that training hears, at 16 kHz: at most `data.max_seconds`."""
        wave = sample.wave
        longest = len(wave) if self.max_seconds is None else round(self.max_seconds * SAMPLE_RATE)
        return crop_clip(wave, longest, self.crop)

    @property
    def longest(self) -> int:
        """Samples at 16 kHz that the models hear at once of a clip that they do not hear whole."""
        return round((self.max_seconds or LONGEST) * SAMPLE_RATE)

    def windows(self, sample: Sample) -> list[Float[np.ndarray, "n"]]:
        """Return the stretches of a clip's sound that are answered, at 16 kHz."""
        if self.long_clips == "head":
            return [self.heard(sample)]
        if self.long_clips == "whole":
            return [sample.wave]
        longest = self.longest
        return [sample.wave[start : start + longest] for start in spread(len(sample.wave), longest)]

    def prepare(self, wave: Float[np.ndarray, "t"]) -> Float[np.ndarray, "u"]:
        """Return samples at 16 kHz filtered and without silence, as those of the training were."""
        return trim(highpass(wave, self.highpass), self._models.vad)[0]

    def ranked(self, probability: Float[np.ndarray, "c"]) -> Scores:
        """Return the classes with their probabilities, the most probable first."""
        order = np.argsort(-probability, kind="stable")
        return [{"label": self.labels[c], "score": float(probability[c])} for c in order]
