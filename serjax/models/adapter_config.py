"""Settings of adapters: few weights that are trained in place of the encoder's own, which stay as they are."""

import re
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import tyro
from annotated_types import Ge, Le

from serjax.runtime.constraints import AtLeastOne, Positive, Rate, Width
from serjax.runtime.errors import UserError

PARTS = frozenset({"lora_A", "lora_B", "ia3_l", "adapter_down", "adapter_up"})
"""Names, in a parameter's path, of what adapters are made of; the first three are PEFT's."""

SECOND = r"output_dense|output_projection|fc2|mlp\.2"
"""Second Linear layers of feed-forward blocks, by the families' names."""
_QUERY, _KEY, _VALUE = "q_proj|linear_q", "k_proj|linear_k", "v_proj|linear_v|qkv"
_TARGETS = {
    "none": "",
    "lora": f"{_QUERY}|{_VALUE}",
    "ia3": f"{_KEY}|{_VALUE}|{SECOND}",
    "bottleneck": rf"out_proj|linear_out|attn\.proj|{SECOND}",
}
_USES = {
    "none": frozenset[str](),
    "lora": frozenset(
        {"rank", "alpha", "rslora", "dropout", "targets", "last_layers", "rank_pattern", "alpha_pattern"}
    ),
    "ia3": frozenset({"targets", "feedforward", "last_layers"}),
    "bottleneck": frozenset({"rank", "dropout", "targets", "last_layers"}),
}
"""Settings that a kind heeds."""


@dataclass(frozen=True)
class AdapterConfig:
    """Adapters in a frozen encoder, of which every fold, seed and learning rate has its own."""

    kind: Literal["none", "lora", "ia3", "bottleneck"] = "none"
    """lora: a product of two thin matrices is added to a weight (Hu et al., 2021). ia3: outputs, or in feed-forward
    layers inputs, are scaled (Liu et al., 2022). bottleneck: a small network is added to a layer's output (Houlsby et
    al., 2019)."""
    checkpoint: str | None = None
    """Directory or hub id of an adapter that PEFT or serjax.export wrote, to start from; kind, rank, alpha and targets
    are its own."""
    rank: Width = 16
    """Inner width of lora and bottleneck."""
    alpha: Positive = 32.0
    """The part that lora adds is scaled by alpha / rank."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (Kalajdzievski, 2023)."""
    dropout: Rate = 0.0
    """Dropout of what lora and bottleneck take."""
    targets: str | None = None
    """Regular expression of the Linear layers that are adapted: of the whole name in the encoder, or of its end behind
    a dot. By default queries and values (lora), keys, values and the second feed-forward layer (ia3), or the last layer
    of attention and feed-forward (bottleneck); in emotion2vec, queries, keys and values are one layer."""
    feedforward: str | None = None
    """Regular expression, among the targets of ia3, of those whose inputs are scaled; by default the second layers of
    feed-forward blocks."""
    last_layers: Annotated[int, Ge(1), Le(256)] | None = None
    """Adapt no more than this many transformer layers, the last ones (up to `model.layer`, where it is given)."""
    encode_once: bool = False
    """Encode every clip once, up to the first adapted layer, for all folds and epochs, and train on what comes out: no
    SpecAugment, no augmentation of waves, and the same stretch of a long clip in each epoch."""
    rank_pattern: tyro.conf.Suppress[tuple[tuple[str, AtLeastOne], ...]] = ()
    """Ranks of single layers, which an adapter of PEFT may have: pairs of a regular expression and a rank."""
    alpha_pattern: tyro.conf.Suppress[tuple[tuple[str, Positive], ...]] = ()
    """Alphas of single layers, likewise."""

    @property
    def given(self) -> bool:
        """True where there are adapters; those of a checkpoint may not be read yet."""
        return self.kind != "none" or self.checkpoint is not None

    @property
    def pattern(self) -> str:
        """Regular expression of the adapted layers."""
        return _TARGETS[self.kind] if self.targets is None else self.targets

    def scales_input(self, name: str) -> bool:
        """Return whether ia3 scales the input of a layer, by its name in the encoder, and not its output."""
        return named(SECOND if self.feedforward is None else self.feedforward, name)

    def rank_of(self, name: str) -> int:
        """Return the rank of a layer, by its name in the encoder."""
        return next((rank for pattern, rank in self.rank_pattern if named(pattern, name)), self.rank)

    def scale_of(self, name: str) -> float:
        """Return the factor of what lora adds to a layer, by its name in the encoder."""
        alpha = next((alpha for pattern, alpha in self.alpha_pattern if named(pattern, name)), self.alpha)
        rank = self.rank_of(name)
        return float(alpha) / (rank**0.5 if self.rslora else rank)

    def check(self) -> None:
        """Refuse settings that mean nothing, and patterns that are no regular expressions.

        Raises:
            UserError: names the setting.
        """
        heeded = _USES[self.kind] | {"kind", "encode_once"}
        if self.checkpoint is not None:
            if self.kind != "none":
                raise UserError(
                    f"model.adapter.kind is {self.kind}, but an adapter from model.adapter.checkpoint has its own; "
                    "leave out one of them."
                )
            heeded = frozenset({"checkpoint", "dropout", "encode_once"})
        elif self.kind == "none":
            heeded = frozenset({"kind"})
        for field in fields(self):
            if field.name not in heeded and getattr(self, field.name) != field.default:
                of = "that of a checkpoint" if self.checkpoint is not None else self.kind
                raise UserError(
                    f"model.adapter.{field.name} is given, but the adapter (model.adapter.kind) is {of}, which does "
                    "without it; leave it out."
                )
        for name in ("targets", "feedforward"):
            pattern = getattr(self, name)
            try:
                re.compile(pattern or "")
            except re.error as error:
                raise UserError(
                    f"model.adapter.{name} is {pattern!r}, which is no regular expression ({error}); correct it, such "
                    "as 'q_proj|v_proj'."
                ) from None


def named(pattern: str, name: str) -> bool:
    """Return whether a regular expression is one of a module's whole name, or of its end behind a dot."""
    return re.fullmatch(rf"(?:.*\.)?(?:{pattern})", name) is not None


def layer_of(name: str) -> int | None:
    """Return the number of the transformer layer in which a module lies, by its name in the encoder; None: in none."""
    found = re.match(r"encoder\.layers\.(\d+)\.", name)
    return None if found is None else int(found[1])
