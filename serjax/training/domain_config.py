"""Settings of domain adaptation to another corpus."""

from dataclasses import dataclass
from typing import Literal

from serjax.models.base import Model
from serjax.models.speech import Speech
from serjax.runtime.constraints import Positive
from serjax.runtime.errors import UserError


@dataclass(frozen=True)
class DomainConfig:
    """Adaptation to recordings without labels, beside the training on labelled clips."""

    kind: Literal["none", "dann", "coral"] = "none"
    """dann: a classifier of the corpus learns from the head's hidden layer, whose gradient it reverses (Ganin et al.
    2016). coral: the covariances of that layer are brought together (Sun & Saenko 2016)."""
    root: str | None = None
    """Folder of recordings of the other corpus; their labels, if there are any, are not read."""
    weight: Positive = 1.0
    """Factor of the gradient that dann reverses, to which it rises from 0 over the training; or of the distance that
    coral adds to the loss."""

    def check(self) -> None:
        """Refuse a kind without recordings, and recordings without a kind."""
        if (self.kind == "none") != (self.root is None):
            given, missing = ("root", "kind") if self.kind == "none" else ("kind", "root")
            raise UserError(
                f"domain.{given} is {getattr(self, given)}, but domain.{missing} is not given; give both --domain.kind "
                "dann or coral and --domain.root FOLDER, or neither."
            )

    def check_model(self, model: Model, accumulate: int) -> None:
        """Refuse a model without a hidden layer above a frozen encoder, and parts of a batch.

        Args:
            model: settings of the model.
            accumulate: parts of a batch.

        Raises:
            UserError: says what is needed.
        """
        if not isinstance(model, Speech) or not model.frozen_encoder or model.head == "linear":
            raise UserError(
                f"domain.kind is {self.kind}, which adapts the hidden layer of a head on a frozen speech encoder; give "
                "--model.freeze encoder and a --model.head other than linear, or leave domain out."
            )
        if self.kind == "coral" and accumulate > 1:
            raise UserError(
                f"domain.kind is coral, a distance of whole batches, but train.accumulate is {accumulate}; leave it "
                "out."
            )
