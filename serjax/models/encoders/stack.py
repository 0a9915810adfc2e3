"""Interface of an encoder's network, which all families have, and how one layer of a stack is run."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.encoders.config import EncoderConfig
from serjax.models.layers.activations import split
from serjax.runtime.errors import UserError


class EncoderOutput(NamedTuple):
    """Encoder output of a batch.

    Attributes:
        hidden_states: The first layer's input and each layer's output; the last one is normalised in both layouts, as
            `last_hidden_state` is in transformers. Values beyond a clip's frames mean nothing.
        lengths: Number of true frames of each clip.
        attentions: Attention weights of every layer: the share of each frame (last axis) in each frame's mixture; empty
            unless asked for.
        tokens: States of the learned vectors that stand before the frames in each layer; empty where there are none.
    """

    hidden_states: tuple[Float[Array, "b n d"], ...]
    lengths: Int[Array, "b"]
    attentions: tuple[Float[Array, "b h n n"], ...] = ()
    tokens: tuple[Float[Array, "b t d"], ...] = ()

    def whole(self, index: int) -> Float[Array, "b m d"]:
        """Return a hidden state with the tokens before its frames, m = t + n, as `BaseEncoder.above` takes it."""
        state = self.hidden_states[index]
        return jnp.concatenate([self.tokens[index], state], axis=1) if self.tokens else state


class BaseEncoder(nnx.Module):
    """A speech encoder of any family.

    Parameters are in float32; where the caller casts them to bfloat16, norms, softmax and statistics still compute in
    float32.
    """

    config: EncoderConfig

    def __call__(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        *,
        padding: Literal["exact", "transformers"] = "exact",
        frozen_layers: int | None = None,
        remat: bool = False,
        attentions: bool = False,
        normalize_last: bool = True,
    ) -> EncoderOutput:
        """Encode a batch of clips.

        Args:
            wave: Samples at 16 kHz, padded on the right, t at least `config.min_samples`.
            lengths: True number of samples of each clip, at most `config.max_samples`.
            key: Random key for SpecAugment, dropout and layerdrop; None for evaluation, which has none of them.
            padding: exact: padding changes nothing. transformers: it counts as it does there.
            frozen_layers: Everything up to this many transformer layers runs without dropout and layerdrop
                (SpecAugment stays); None where no more than the convolutions is frozen.
            remat: Recompute transformer layers in the backward pass instead of keeping what they computed.
            attentions: Return attention weights too.
            normalize_last: False leaves the last state of a pre-LN encoder as it is before its norm.

        Raises:
            UserError: the waves are shorter than one frame, or (where they are known) NaN or infinite.
        """
        raise NotImplementedError  # each family has its own

    def above(
        self,
        x: Float[Array, "b m d"],
        count: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        *,
        first: int,
        remat: bool = False,
    ) -> tuple[Float[Array, "b n d"], ...]:
        """Return the hidden states from that of index `first` on, which is given and may have been computed before.

        Args:
            x: That state, the input of layer `first`, as `EncoderOutput.whole` gives it; of padding="exact" where
                `config.layers_hear_padding`.
            count: Number of true frames of each clip, without tokens.
            key: Random key for dropout and layerdrop of the layers from `first` on, where a call with the same key and
                `frozen_layers` of `first` draws the same; None for evaluation.
            first: Number of the layer to begin with.
            remat: Recompute transformer layers in the backward pass.
        """
        raise NotImplementedError  # each family has its own


def check_waves(config: EncoderConfig, wave: Float[Array, "b t"]) -> None:
    """Refuse waves of which there can be no answer.

    Raises:
        UserError: they are shorter than one frame, or (where they are known) NaN or infinite.
    """
    least = config.min_samples
    if isinstance(wave.shape[1], int) and wave.shape[1] < least:
        raise UserError(f"the waves have {wave.shape[1]} samples, but the first frame takes {least}; give longer ones.")
    if not isinstance(wave, jax.core.Tracer) and not np.isfinite(np.asarray(wave, np.float32)).all():
        raise UserError("the waves hold NaN or infinity; read the recordings again, or leave them out.")


def run_layer(
    layer: nnx.Module,
    x: Float[Array, "b n d"],
    mask: Bool[Array, "b n"],
    key: PRNGKeyArray | None,
    *further: Any,
    attentions: bool = False,
    layerdrop: float,
    remat: bool,
) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"] | None]:
    """Run a layer, or skip it with probability `layerdrop`, for the batch as a whole as transformers does.

    Args:
        layer: Called with hidden states, mask, key, `further` and `attentions`; returns hidden states and attention's
            shares.
        x: Hidden states.
        mask: True where a frame is a frame of the clip.
        key: Random key; None for evaluation.
        further: Arguments of the layer.
        attentions: Return the shares; None without.
        layerdrop: Probability to skip it in training.
        remat: Recompute it in the backward pass.
    """
    skip, inner = split(key, 2)
    if remat:
        graphdef, state = nnx.split(layer)
        run = jax.checkpoint(lambda state, *inputs: nnx.merge(graphdef, state)(*inputs, attentions))
        y, weights = run(state, x, mask, inner, *further)
    else:
        y, weights = layer(x, mask, inner, *further, attentions)
    return y if skip is None or layerdrop == 0 else jnp.where(jax.random.bernoulli(skip, layerdrop), x, y), weights
