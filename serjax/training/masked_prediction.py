"""One step of masked prediction, for one fold on one device: pure functions of arrays.

Folds and devices are added by `serjax.training.fold_axis`, as for `serjax.training.update`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from serjax.models.encoders.config import EncoderConfig, frames
from serjax.models.functional import Params, cast
from serjax.models.layers.masking import length_mask, span_mask
from serjax.runtime.errors import UserError
from serjax.training.config import MaskedConfig
from serjax.training.optimizer import adamw
from serjax.training.update import TrainState


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


class PretrainMetrics(NamedTuple):
    """What a step tells: its loss and the parts of it, shares of right frames and of masked ones, rate and norm."""

    loss: Float[Array, ""]
    masked_loss: Float[Array, ""]
    unmasked_loss: Float[Array, ""]
    penalty: Float[Array, ""]
    masked_accuracy: Float[Array, ""]
    unmasked_accuracy: Float[Array, ""]
    masked: Float[Array, ""]
    rate: Float[Array, ""]
    norm: Float[Array, ""]


class Sums(NamedTuple):
    """Sums over frames of a part of a batch: cross-entropy and right answers, masked and unmasked, and squares."""

    masked_loss: Float[Array, ""]
    unmasked_loss: Float[Array, ""]
    masked_right: Float[Array, ""]
    unmasked_right: Float[Array, ""]
    square: Float[Array, ""]


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
    return span_mask(key, frames(encoder, lengths), size, config.mask_prob, config.mask_length, config.min_masks)


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


def weighted_loss(sums: Sums, counts: tuple[Any, Any], config: MaskedConfig) -> Float[Array, ""]:
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


def part_loss(
    params: Params,
    frozen: Params,
    part: FrameBatch,
    masked: Bool[Array, "b n"],
    counts: tuple[Any, Any],
    key: Key[Array, ""] | None,
    *,
    graphdef: nnx.GraphDef[Any],
    config: MaskedConfig,
) -> tuple[Float[Array, ""], Sums]:
    """Return a part's share of the batch's loss, and its sums; without a key there is no dropout."""
    model = nnx.merge(graphdef, cast(params, config.dtype), cast(frozen, config.dtype), copy=True)
    logits, square = model(
        part.wave.astype(config.dtype),
        part.length,
        masked,
        key,
        feature_grad_mult=config.feature_grad_mult or 1.0,
        remat=config.remat,
    )
    within = length_mask(frames(model.speech_encoder.config, part.length), logits.shape[1])
    sums = frame_sums(logits, part.label, masked, within, square)
    return weighted_loss(sums, counts, config), sums


def pretrain_step(
    state: TrainState,
    batch: FrameBatch,
    key: Key[Array, ""],
    frozen: Params,
    *,
    graphdef: nnx.GraphDef[Any],
    encoder: EncoderConfig,
    config: MaskedConfig,
    factors: Params,
) -> tuple[TrainState, PretrainMetrics]:
    """Make one update from one batch.

    Masks are drawn for the whole batch, and its parts (`config.accumulate`) divide by its counts, so that their
    gradients add up to those of the whole.

    Args:
        state: Parameters and moments; the number of updates made also decides masks and dropout.
        batch: Clips and labels.
        key: The run's key, the same for all steps.
        frozen: Parameters that stay.
        graphdef: Of a `MaskedPredictor`.
        encoder: The layout of its encoder.
        config: What to mask and how to learn.
        factors: Of learning rates, see `rate_factors`.

    Raises:
        UserError: labels of another number of frames than the clips have.
    """
    drawn, dropped = jax.random.split(jax.random.fold_in(key, state.adam.updates))
    size = frames(encoder, batch.wave.shape[1])
    if batch.label.shape[1] != size:
        raise UserError(
            f"A batch has {batch.label.shape[1]} labels a clip for {size} frames of the encoder; labels must be made "
            "for an encoder of the same clock (receptive field and hop)."
        )
    masked = draw_masks(drawn, batch.length, size, encoder, config)
    within = length_mask(frames(encoder, batch.length), size)
    counts = jnp.sum(masked & within), jnp.sum(~masked & within)
    # Every part has rows of every device.
    parts = jax.tree.map(lambda x: x.reshape(-1, config.accumulate, *x.shape[1:]).swapaxes(0, 1), (batch, masked))

    def loss(params: Params, part: FrameBatch, masked: Array, key: Key[Array, ""]) -> tuple[Array, Sums]:
        return part_loss(params, frozen, part, masked, counts, key, graphdef=graphdef, config=config)

    def add(total: Any, part: tuple[tuple[FrameBatch, Array], Array]) -> tuple[Any, None]:
        (clips, masked), number = part
        new = jax.value_and_grad(loss, has_aux=True)(state.params, clips, masked, jax.random.fold_in(dropped, number))
        return jax.tree.map(jnp.add, total, new), None

    zero = jnp.zeros(())
    nothing = ((zero, Sums(zero, zero, zero, zero, zero)), jax.tree.map(jnp.zeros_like, state.params))
    # Unrolled on a CPU, where convolutions inside a compiled loop are an order of magnitude slower.
    unroll = config.accumulate == 1 or jax.default_backend() == "cpu"
    ((value, sums), gradient), _ = jax.lax.scan(add, nothing, (parts, jnp.arange(config.accumulate)), unroll=unroll)
    params, adam, rate, norm = adamw(
        gradient,
        state.adam,
        state.params,
        config=config.optimizer,
        steps=jnp.asarray(config.updates),
        peak=jnp.asarray(config.optimizer.max_lr, jnp.float32),
        factors=factors,
    )
    hidden, seen = (jnp.maximum(count, 1).astype(jnp.float32) for count in counts)
    told = PretrainMetrics(
        loss=value,
        masked_loss=sums.masked_loss / hidden,
        unmasked_loss=sums.unmasked_loss / seen,
        penalty=sums.square / (hidden + seen),
        masked_accuracy=sums.masked_right / hidden,
        unmasked_accuracy=sums.unmasked_right / seen,
        masked=hidden / (hidden + seen),
        rate=rate,
        norm=norm,
    )
    return TrainState(params, adam), told
