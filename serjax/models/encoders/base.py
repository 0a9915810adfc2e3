"""Interface of an encoder's layout: what the rest of serjax asks of any family's configuration."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import pydantic

from serjax.runtime.errors import UserError, brief

if TYPE_CHECKING:
    import jax

Size = Literal["tiny", "small", "base", "medium", "large"]
Activation = Literal["gelu", "gelu_new", "relu", "silu"]
SPELLINGS: dict[str, Activation] = {
    "swish": "silu",
    "gelu_python": "gelu",
    "gelu_fast": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_accurate": "gelu_new",
}
"""Other names that transformers has for the activations; they differ by rounding only."""
Length = TypeVar("Length", "int", "jax.Array", "np.ndarray[Any, Any]")


class BaseEncoderConfig:
    """Layout of an encoder: a frozen dataclass whose fields are the keys of its family's config.json.

    Names, meanings and defaults of the fields are those of transformers, so that a published config.json needs no
    translation. The members below hold for every family; those without a value are fields or properties of each.
    """

    absent: ClassVar[Mapping[str, Any]] = {}
    """Keys that would change what is computed, with the one value that serjax computes."""
    drops: ClassVar[tuple[str, ...]] = ("layerdrop",)
    """Keys of the probabilities to skip a layer in training."""

    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    attention_dropout: float
    apply_spec_augment: bool
    mask_time_prob: float
    mask_feature_prob: float

    @property
    def frame_hop(self) -> int:
        """Samples from one frame to the next."""
        raise NotImplementedError  # each family has its own

    @property
    def min_samples(self) -> int:
        """Fewest samples of a clip; they give `squeezed` frames, and one more follows every `frame_hop` samples."""
        raise NotImplementedError  # each family has its own

    @property
    def receptive_field(self) -> int:
        """Samples that a frame is computed from, before the layers mix frames."""
        return self.min_samples

    @property
    def max_samples(self) -> int | None:
        """Most samples of a clip; None: any number."""
        return None

    @property
    def squeezed(self) -> int:
        """Frames that the layers see as one."""
        return 1

    @property
    def extra_tokens(self) -> int:
        """Learned vectors that stand before a clip's frames in every layer."""
        return 0

    @property
    def layers_hear_padding(self) -> bool:
        """True where padding="transformers" lets the layers take what follows a clip in its batch for a part of it."""
        return False

    @property
    def norm_first(self) -> bool:
        """True where norms stand before the layers, and one after the last."""
        raise NotImplementedError  # each family has its own

    @property
    def sums_by_version(self) -> bool:
        """True where versions of transformers sum layers unlike: version 5 takes the last one before its norm."""
        return False

    @property
    def batch_padding_counts(self) -> bool:
        """True where padding="transformers" gives other frames for other lengths of the batch."""
        raise NotImplementedError  # each family has its own

    @property
    def wave_epsilon(self) -> float:
        """Added to a clip's variance where clips are normalised, as the family's original does."""
        return 1e-7

    @property
    def mel_bins(self) -> int | None:
        """Filters of the spectrogram that it takes; None: it takes samples."""
        return None

    def frames(self, samples: Length) -> Length:
        """Return how many frames so many samples give, a number or an integer array of any shape."""
        raise NotImplementedError  # each family has its own

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], source: str) -> Self:
        """Read a config.json's object of this class's families; keys that do not bear on the encoder are ignored.

        Args:
            mapping: The parsed JSON object.
            source: What to call it in a message, such as the file's path.

        Raises:
            UserError: a value is of the wrong kind, or asks for something that serjax does not compute.
        """
        for key, value in cls.absent.items():
            if mapping.get(key, value) != value:
                raise UserError(
                    f"{source}: {key} is {brief(repr(mapping[key]))}, which serjax does not compute; give a "
                    "checkpoint without it."
                )
        known = {key: value for key, value in mapping.items() if key in cls.keys(mapping["model_type"])}
        for key, value in known.items():
            # Dropout of null is none, in PyTorch as here, and a model that answers has none at all.
            if value is None and key.endswith(("dropout", "layerdrop")):
                known[key] = 0.0
            if key in ("hidden_act", "feat_extract_activation", "activation_function") and isinstance(value, str):
                known[key] = SPELLINGS.get(value, value)
        try:
            config: Self = _adapter(cls).validate_python(known)  # type: ignore[arg-type]
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            raise UserError(
                f"{source}: {key} is {brief(repr(mapping.get(key)))}, which serjax cannot use ({first['msg']})."
            ) from None
        problem = config.contradiction()
        if problem is not None:
            raise UserError(f"{source}: {problem}")
        return config

    @classmethod
    def keys(cls, model_type: str) -> frozenset[str]:
        """Return the keys of config.json that a family heeds."""
        return frozenset(field.name for field in fields(cls))  # type: ignore[arg-type]

    def contradiction(self) -> str | None:
        """Return a sentence on fields that contradict each other, if there are any."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of a config.json."""
        values = asdict(self)  # type: ignore[call-overload]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def is_stem(self, path: tuple[str | int, ...]) -> bool:
        """Return whether a parameter, by its path in the encoder, is of the convolutions that freeze="cnn" freezes."""
        raise NotImplementedError  # each family has its own

    def is_fixed(self, path: tuple[str | int, ...]) -> bool:
        """Return whether a parameter, by its path in the encoder, is never trained."""
        return False

    def for_training(self, mask_time: float | None, mask_feature: float | None, layerdrop: float | None) -> Self:
        """Return the configuration with SpecAugment's shares and layerdrop; None: its own.

        A checkpoint that does not apply SpecAugment masks what is asked for.
        """

        def chosen(override: float | None, own: float) -> float:
            return override if override is not None else own if self.apply_spec_augment else 0.0

        changes: dict[str, Any] = {} if layerdrop is None else dict.fromkeys(self.drops, layerdrop)
        changes |= {
            "apply_spec_augment": True,
            "mask_time_prob": chosen(mask_time, self.mask_time_prob),
            "mask_feature_prob": chosen(mask_feature, self.mask_feature_prob),
        }
        return replace(self, **changes)  # type: ignore[type-var]

    def undivided(self, width: str, *parts: str) -> str | None:
        """Return a sentence on the first of some fields that does not divide another one, if there is one."""
        for key in parts:
            if getattr(self, width) % getattr(self, key):
                return f"{key} is {getattr(self, key)}, which does not divide {width} ({getattr(self, width)})."
        return None


def at_least_none(count: Length) -> Length:
    """Return a number of frames, or 0 where it is below: a number or an array; a symbolic one stays as it is."""
    if isinstance(count, int):
        return max(count, 0)
    # Arrays of both kinds have this method, without jax; the symbolic length of an exported program has not.
    return count.clip(0) if hasattr(count, "clip") else count


@cache
def _adapter(kind: type[BaseEncoderConfig]) -> "pydantic.TypeAdapter[Any]":
    return pydantic.TypeAdapter(kind)
