"""The classifier of mser: a bidirectional LSTM on hand-made values, named as there.

mser calls it with one step a clip and by mistake runs it across the batch; here it runs over time, each direction from
its own end of the clip, and the mean over true steps (the step itself where the clip is read at once) is classified.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.layers.activations import dropout
from serjax.models.layers.image import linear
from serjax.models.layers.masking import length_mask
from serjax.models.layers.pooling import masked_mean


class BiLSTM(nnx.Module):
    """torch.nn.LSTM of one layer and two directions: its leaves, initial weights and answers."""

    def __init__(self, inputs: int, size: int, *, rngs: nnx.Rngs):
        self.size = size
        bound = size**-0.5
        shapes = {"weight_ih": (4 * size, inputs), "weight_hh": (4 * size, size), "bias_ih": (4 * size,)}
        for direction in ("", "_reverse"):
            for name, shape in {**shapes, "bias_hh": (4 * size,)}.items():
                value = jax.random.uniform(rngs.params(), shape, jnp.float32, -bound, bound)
                setattr(self, f"{name}_l0{direction}", nnx.Param(value))

    def __call__(self, x: Float[Array, "b n i"], frames: Int[Array, "b"]) -> Float[Array, "b n {2*self.size}"]:
        """Return forward and backward states side by side; zeros beyond a clip's true frames."""
        within = length_mask(frames, x.shape[1])
        return jnp.concatenate([self._run(x, within, ""), self._run(x, within, "_reverse")], axis=-1)

    def _run(self, x: Float[Array, "b n i"], within: Bool[Array, "b n"], direction: str) -> Float[Array, "b n s"]:
        to_gates, recurrent, bias, second = (
            getattr(self, f"{name}_l0{direction}")[...] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        gates = jnp.einsum("bni,gi->nbg", x, to_gates) + (bias + second)

        def step(carry: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
            (state, cell), (gates, real) = carry, at
            enter, forget, new, out = jnp.split(gates + state @ recurrent.T, 4, axis=-1)
            cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
            # Zero beyond the end: there the backward direction is still to start.
            cell = jnp.where(real[:, None], cell, 0)
            state = jnp.where(real[:, None], jax.nn.sigmoid(out) * jnp.tanh(cell), 0)
            return (state, cell), state

        start = jnp.zeros((x.shape[0], self.size), gates.dtype)
        _, states = lax.scan(step, (start, start), (gates, within.T), reverse=bool(direction))
        return states.swapaxes(0, 1)


class BiLSTMClassifier(nnx.Module):
    """Linear, BiLSTM, tanh, mean over time, dropout, Linear, ReLU, Linear; as published 1,870,086 parameters."""

    def __init__(self, classes: int, features: int = 312, size: int = 512, rate: float = 0.5, *, rngs: nnx.Rngs):
        self.fc0 = linear(features, size, rngs)
        self.lstm = BiLSTM(size, size // 2, rngs=rngs)
        self.fc1 = linear(size, size // 2, rngs)
        self.fc2 = linear(size // 2, classes, rngs)
        self.rate = rate

    def __call__(
        self, x: Float[Array, "b n d"], frames: Int[Array, "b"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            x: Standardised features, a step or more a clip, padded on the right.
            frames: True steps of each clip.
            key: Random key for dropout; None for evaluation.
        """
        states = jnp.tanh(self.lstm(self.fc0(x), frames))
        pooled = dropout(masked_mean(states, frames), self.rate, key)
        return self.fc2(jax.nn.relu(self.fc1(pooled)))
