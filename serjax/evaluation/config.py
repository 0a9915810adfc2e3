"""Settings of the model card."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CardConfig:
    """Statements of the model card that a run cannot know; none decides a number."""

    license: str | None = None
    """Licence of the models, as the hub calls it, such as cc-by-nc-4.0."""
    language: tuple[str, ...] = ()
    """Languages of the recordings, as ISO 639 codes, such as de."""
    base_model: str | None = None
    """Hub id of the model that was fine-tuned; by default the checkpoint, where that is one."""
    intended_use: str | None = None
    """Use that the models are meant for, and by whom."""
    limits: str | None = None
    """Cases in which the models are known to fail, or must not be used."""
    data_license: str | None = None
    """Licence of the recordings, and where they come from."""
    citation: str | None = None
    """Work to cite, in BibTeX or in words."""
