"""Settings of targets: what is learned of a clip, and the loss."""

import re
from dataclasses import dataclass
from typing import Literal

from serjax.runtime.constraints import NotNegative, Positive
from serjax.runtime.errors import UserError

Loss = Literal["auto", "cross_entropy", "focal", "soft_f1", "kl", "emd", "bce", "ccc", "mse", "mae", "huber"]
LOSSES: dict[str, tuple[str, ...]] = {
    "class": ("cross_entropy", "focal", "soft_f1"),
    "soft": ("cross_entropy", "kl", "emd"),
    "multilabel": ("bce", "focal"),
    "dimensions": ("ccc", "mse", "mae", "huber"),
}
"""Losses of each kind of target; the first is what auto is."""

OF_SPEAKERS = ("gender", "age", "speaker", "session")
"""Class tasks of these names are what the corpus says of the speaker; one of another name is the label."""


@dataclass(frozen=True)
class TargetConfig:
    """Targets of a clip, and the loss."""

    kind: Literal["class", "soft", "multilabel", "dimensions"] = "class"
    """class: one of several. soft: the shares in which annotators voted for the classes. multilabel: each label that
    got a vote, for itself. dimensions: named values."""
    tasks: tuple[str, ...] = ()
    """Several targets at once, NAME:KIND or NAME:KIND:LOSS, such as emotion:class avd:dimensions gender:class. gender,
    age, speaker and session are what the corpus says of the speaker; a class of another name is the label. The first
    is the main one. In place of kind and loss."""
    loss: Loss = "auto"
    """class: cross_entropy, focal or soft_f1. soft: cross_entropy, kl or emd (squared earth mover's distance, for
    classes in an order). multilabel: bce or focal. dimensions: ccc (1 - CCC over the batch), mse, mae or huber. auto is
    the first of them."""
    dimensions: tuple[str, ...] = ()
    """Values to learn with their lowest and highest on the corpus's scale, such as arousal=1:7 valence=1:7; a list's
    columns, or those that --data.columns names."""
    weights: tuple[NotNegative, ...] | Literal["learned"] = ()
    """Of the tasks' losses; by default 1 each. learned: by each task's uncertainty (Kendall et al. 2018)."""
    focal_gamma: NotNegative = 2.0
    """Exponent of the focal loss (Lin et al. 2017)."""
    huber_delta: Positive = 0.1
    """Error from which on the Huber loss is linear, as a share of a dimension's range."""
    logit_adjustment: NotNegative = 0.0
    """Add so many times the logarithm of a class's share of the training clips to its logits in the loss (Menon et al.
    2021, eq. 10); 0 leaves it out."""

    @property
    def plain(self) -> bool:
        """True where the target is one class a clip and its loss cross-entropy."""
        usual = self.kind == "class" and self.loss in ("auto", "cross_entropy")
        return usual and not self.tasks and not self.logit_adjustment

    @property
    def needs_label(self) -> bool:
        """True where every clip must have a label, of at least two."""
        return any(kind == "class" and name not in OF_SPEAKERS for name, kind, _ in self.each)

    @property
    def of_labels(self) -> bool:
        """True where labels are among what is learned, so that folds are balanced by them."""
        return self.needs_label or any(kind == "soft" for _, kind, _ in self.each)

    def check(self) -> None:
        """Refuse a loss of another kind of target, or settings that nothing uses."""
        names = [one[0] for one in self.each]
        for name, kind, loss in self.each:
            if kind not in LOSSES or not name:
                raise UserError(
                    f"target.tasks: {name}:{kind} is none; give NAME:KIND or NAME:KIND:LOSS with a kind of "
                    f"{', '.join(LOSSES)}."
                )
            if loss not in ("auto", *LOSSES[kind]):
                raise UserError(f"target: loss {loss} is not one of {kind}; choose of {', '.join(LOSSES[kind])}.")
        if len(set(names)) < len(names):
            raise UserError(f"target.tasks is {' '.join(self.tasks)}; it must name each task once.")
        if self.tasks and (self.kind != "class" or self.loss != "auto"):
            raise UserError("target.tasks is given with target.kind or target.loss; say both in it, as NAME:KIND:LOSS.")
        several = len(self.tasks) > 1
        if self.weights and not several:
            raise UserError("target.weights is given, but there are not several target.tasks; leave it out.")
        if isinstance(self.weights, tuple) and self.weights and len(self.weights) != len(self.tasks):
            raise UserError(
                f"target.weights has {len(self.weights)} values for {len(self.tasks)} target.tasks; give one each."
            )
        kinds = [one[1] for one in self.each]
        if ("dimensions" in kinds) != bool(self.dimensions):
            raise UserError(
                "target.dimensions names the values to learn with their ranges, such as arousal=1:7; give it where a "
                "target is dimensions, and only there."
            )
        if self.logit_adjustment and "class" not in kinds:
            raise UserError("target.logit_adjustment is given, but no target is a class; leave it out.")
        if kinds.count("dimensions") > 1:
            raise UserError("target.tasks has dimensions twice; name all values in target.dimensions and give it once.")
        _ = self.ranges

    @property
    def each(self) -> list[tuple[str, str, str]]:
        """Name, kind and loss of each task."""
        if not self.tasks:
            return [("dimensions" if self.kind == "dimensions" else "emotion", self.kind, self.loss)]
        return [_parts(task) for task in self.tasks]

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each dimension.

        Raises:
            UserError: one is not NAME=LOW:HIGH.
        """
        found: dict[str, tuple[float, float]] = {}
        for word in self.dimensions:
            match = re.fullmatch(r"([^=]+)=([^:]+):([^:]+)", word)
            try:
                low, high = (float(match[2]), float(match[3])) if match else (1.0, 0.0)
            except ValueError:
                low, high = 1.0, 0.0
            if match is None or not low < high or match[1] in found:
                raise UserError(
                    f"target.dimensions: got {word}; give each value once as NAME=LOW:HIGH, such as arousal=1:7."
                )
            found[match[1]] = low, high
        return found


def _parts(task: str) -> tuple[str, str, str]:
    name, kind, loss, *_ = *task.split(":"), "", ""
    return name, kind if task.count(":") < 3 else "", loss or "auto"


ONE_CLASS = TargetConfig()
"""One class a clip, by cross-entropy."""
