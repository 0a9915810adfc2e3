"""Masked prediction: the clusters of frames that the encoder does not see, as in HuBERT."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.masked_prediction import MaskedPredictor
from serjax.models.functional import Params
from serjax.models.layers.masking import length_mask, span_mask
from serjax.runtime.errors import UserError
from serjax.training.config import MaskedConfig
from serjax.training.update import TrialConstants


class FrameBatch(NamedTuple):
    """One batch of clips with a label a frame.

    Attributes:
        wave: Samples, zeros after a clip's end.
        length: True samples of each clip.
        label: Cluster of each frame; frame i is that of samples [320 i, 320 i + 400). Any beyond a clip's frames.
    """

    wave: Float[Array, "b t"]
    length: Int[Array, "b"]
    label: Int[Array, "b n"]


class Sums(NamedTuple):
    """Sums over frames of a part of a batch: cross-entropy and right answers, masked and unmasked, and squares."""

    masked_loss: Float[Array, ""]
    unmasked_loss: Float[Array, ""]
    masked_right: Float[Array, ""]
    unmasked_right: Float[Array, ""]
    square: Float[Array, ""]


class Counts(NamedTuple):
    """Frames of a whole batch that are masked, and that are not."""

    masked: Int[Array, ""]
    unmasked: Int[Array, ""]


class Part(NamedTuple):
    """A part of a batch, and which of its frames are masked."""

    clips: FrameBatch
    masked: Bool[Array, "b n"]


@dataclass(frozen=True)
class MaskedPrediction:
    """Objective of masked prediction.

    Its metrics are the loss and what it is made of, shares of right answers of masked and other frames, and the share
    of frames that are masked.

    Attributes:
        config: what to mask and how to weigh.
        encoder: layout of the encoder.
    """

    config: MaskedConfig
    encoder: EncoderConfig

    @property
    def zero(self) -> Sums:
        """Sums of no frames."""
        return Sums(*(jnp.zeros(()) for _ in Sums._fields))

    @property
    def dtype(self) -> str:
        """Number format that the network computes in."""
        return self.config.dtype

    def prepare(
        self, batch: FrameBatch, constants: TrialConstants, key: Key[Array, ""]
    ) -> tuple[Part, Key[Array, "p"], Counts]:
        """Return parts with their masks, their keys, and counts of masked and other frames of the whole batch.

        Raises:
            UserError: labels of another number of frames than the clips have.
        """
        drawn, dropped = jax.random.split(key)
        size = self.encoder.frames(batch.wave.shape[1])
        if batch.label.shape[1] != size:
            raise UserError(
                f"A batch has {batch.label.shape[1]} labels a clip for {size} frames of the encoder; labels must be "
                "made for an encoder of the same clock (receptive field and hop)."
            )
        masked = draw_masks(drawn, batch.length, size, self.encoder, self.config)
        within = length_mask(self.encoder.frames(batch.length), size)
        counts = Counts(jnp.sum(masked & within), jnp.sum(~masked & within))
        count = self.config.accumulate
        # Every part has rows of every device.
        parts = jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), Part(batch, masked))
        return parts, jax.vmap(partial(jax.random.fold_in, dropped))(jnp.arange(count)), counts

    def loss(
        self, model: MaskedPredictor, part: Part, totals: Counts, key: Key[Array, ""] | None
    ) -> tuple[Float[Array, ""], Sums]:
        """Return a part's share of the batch's loss, and its sums; without a key there is no dropout."""
        config, clips = self.config, part.clips
        logits, square = model(
            clips.wave,
            clips.length,
            part.masked,
            key,
            feature_grad_mult=config.feature_grad_mult or 1.0,
            remat=config.remat,
        )
        within = length_mask(self.encoder.frames(clips.length), logits.shape[1])
        sums = frame_sums(logits, clips.label, part.masked, within, square)
        return weighted_loss(sums, totals, config), sums

    def finish(
        self, gradient: Params, loss: Float[Array, ""], sums: Sums, totals: Counts
    ) -> tuple[Params, dict[str, Float[Array, ""]]]:
        """Return the gradient as it is, for each part was divided by the batch's counts, and means over frames."""
        hidden, seen = (jnp.maximum(count, 1).astype(jnp.float32) for count in totals)
        return gradient, {
            "loss": loss,
            "masked_loss": sums.masked_loss / hidden,
            "unmasked_loss": sums.unmasked_loss / seen,
            "penalty": sums.square / (hidden + seen),
            "masked_accuracy": sums.masked_right / hidden,
            "unmasked_accuracy": sums.unmasked_right / seen,
            "masked": hidden / (hidden + seen),
        }


def is_frozen(path: tuple[str | int, ...], config: MaskedConfig) -> bool:
    """Say whether pretraining leaves a parameter of a `MaskedPredictor` alone: the convolutions, or nothing."""
    return config.feature_grad_mult == 0 and path[:2] == ("speech_encoder", "feature_extractor")


def draw_masks(
    key: Key[Array, ""], lengths: Int[Array, "b"], size: int, encoder: EncoderConfig, config: MaskedConfig
) -> Bool[Array, "b n"]:
    """Draw the frames to mask: spans within each clip's true frames.

    Args:
        key: Random key.
        lengths: True samples of each clip.
        size: Frames of the padded batch.
        encoder: Tells how many frames samples make.
        config: Probability, length and least number of spans.
    """
    return span_mask(key, encoder.frames(lengths), size, config.mask_prob, config.mask_length, config.min_masks)


def frame_sums(logits: Float[Array, "b n k"], label: Int[Array, "b n"], masked: Any, within: Any, square: Any) -> Sums:
    """Return what loss and accuracies are made of.

    Args:
        logits: What is predicted.
        label: What is right.
        masked: True for masked frames.
        within: True for true frames.
        square: Sum over frames of features' mean squares, of each clip.
    """
    # A sum over a comparison: gathering by label has a slow gradient on a CPU.
    chosen = jnp.sum(jnp.where(label[:, :, None] == jnp.arange(logits.shape[2]), logits, 0), axis=2)
    entropy = jax.nn.logsumexp(logits, axis=2) - chosen
    right = chosen >= jnp.max(logits, axis=2)
    hidden, seen = masked & within, ~masked & within

    def total(values: Array, where: Array) -> Float[Array, ""]:
        return jnp.sum(jnp.where(where, values, 0).astype(jnp.float32))

    return Sums(total(entropy, hidden), total(entropy, seen), total(right, hidden), total(right, seen), jnp.sum(square))


def weighted_loss(sums: Sums, counts: Counts, config: MaskedConfig) -> Float[Array, ""]:
    """Return mean cross-entropy over masked frames, plus the weighted means over unmasked frames and of squares.

    fairseq and torchaudio, which agree where the weight of unmasked frames is 0, divide otherwise by common counts.

    Args:
        sums: Of a batch, or of a part of it.
        counts: Masked and unmasked frames of the whole batch.
        config: The weights.
    """
    masked, unmasked = (jnp.maximum(count, 1) for count in counts)
    penalty = config.feature_penalty * sums.square / (masked + unmasked)
    return sums.masked_loss / masked + config.unmasked_weight * sums.unmasked_loss / unmasked + penalty
