"""The experiment: frozen dataclasses, overridden from the command line, stored as JSON with the run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from serjax.audio.config import AugmentConfig
from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.target_config import LOSSES, TargetConfig
from serjax.evaluation.config import CardConfig
from serjax.models.config import ModelConfig
from serjax.models.spectrogram import Functionals
from serjax.models.speech import Speech
from serjax.runtime.constraints import Seed
from serjax.runtime.errors import UserError
from serjax.training.config import MeshConfig, OptimizerConfig, TrainConfig
from serjax.training.domain_config import DomainConfig

JOBS = "jobs"
"""Folder of the jobs of a run, in the run folder."""


@dataclass(frozen=True)
class WarmStart:
    """Finished runs whose folds' weights the branches of a fusion start from; folds must be the same."""

    audio: str | None = None
    """Run folder of an audio network or of WavLM."""
    video: str | None = None
    """Run folder of a video network."""


@dataclass(frozen=True)
class Experiment:
    """Settings of an experiment: everything that decides a run's numbers."""

    name: str
    """Name of the run folder."""
    data: DataConfig = field(default_factory=DataConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    model: ModelConfig = field(default_factory=Speech)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    domain: DomainConfig = field(default_factory=DomainConfig)
    warm_start: WarmStart = field(default_factory=WarmStart)
    card: CardConfig = field(default_factory=CardConfig)
    search: Annotated[tuple[tuple[str | int | float, ...], ...], tyro.conf.UseAppendAction] = ()
    """A field's dotted name and the values to try. Every combination of all given fields is trained, each in a run of
    its own, as in --search seed 0 1 2 --search optimizer.max_lr 1e-4 1e-3. Combinations that differ in rates, weight
    decay and other numbers alone train side by side where folds do (folds.together)."""
    stages: Literal["auto", "one", "two"] = "auto"
    """two: first train what is no encoder, for train.head_epochs (or 10), then what the rest of the experiment says.
    auto: two where train.head_epochs is given."""
    seed: Seed = 0
    """Decides folds, initial weights, order, crops, masks and dropout."""
    out: str = "checkpoints"
    """Folder in which the run folder is made."""
    overwrite: bool = False
    """Delete what a finished run, or one of another experiment, left under this name, and start again."""
    job: bool = False
    """Train the folds of folds.only as a job with a folder of its own, jobs/folds_N in the run folder, beside jobs that
    train the other folds; python -m serjax.gather puts them together."""
    push_to_hub: str | None = None
    """Repository of the Hugging Face hub, USER/NAME, to which the finished run is uploaded; python -m serjax.push does
    so later."""

    @property
    def first_epochs(self) -> int:
        """Epochs of the first of two stages; 0 where there is one."""
        epochs = self.train.head_epochs
        return {"auto": epochs, "one": 0, "two": epochs or 10}[self.stages]

    @property
    def whole_dir(self) -> Path:
        """The run folder, absolute; of a job that of the run whose folds it trains."""
        return (Path(self.out).expanduser() / self.name).absolute()

    @property
    def run_dir(self) -> Path:
        """The folder that is written, absolute: the run folder, or a job's own in it."""
        if not self.job:
            return self.whole_dir
        return self.whole_dir / JOBS / "_".join(["folds", *map(str, sorted(set(self.folds.only or ())))])

    def check(self) -> None:
        """Refuse combinations that no experiment can have.

        Raises:
            UserError: names the field.
        """
        check_name(self.name)
        model, augment = self.model, self.augment
        if self.job and not self.folds.only:
            raise UserError("job is given without folds.only; name the folds of this job, such as --folds.only 2.")
        if self.push_to_hub is not None and (self.job or self.search):
            raise UserError(
                "push_to_hub is given with a job or a search; leave it out, and upload the run that counts with "
                "python -m serjax.push."
            )
        if self.train.learning_rates and self.optimizer.max_lr is not None:
            raise UserError("optimizer.max_lr and train.learning_rates are both given; leave out one of them.")
        if self.first_epochs and not model.two_stages:
            raise UserError(
                f"train.head_epochs is {self.first_epochs}; it must be 0 where no encoder with pretrained weights is "
                "trained (model.freeze, model.size, model.family)."
            )
        if self.optimizer.groups and model.rate_groups:
            raise UserError("optimizer.groups and rates of the fusion are both given; leave out one of them.")
        if self.warm_start != WarmStart() and model.family != "fusion":
            raise UserError("warm_start is given, but model.family is not fusion; leave it out.")
        whole = {"ccc", "soft_f1"} & {LOSSES[kind][0] if loss == "auto" else loss for _, kind, loss in self.target.each}
        if whole and self.train.accumulate > 1:
            raise UserError(
                f"train.accumulate is {self.train.accumulate}, but the loss {min(whole)} is of a whole batch and no "
                "sum over its parts; leave it out, or choose another --target.loss."
            )
        if not self.target.plain and (self.job or self.search):
            raise UserError(
                "target is given with --job or --search, which take one class by cross-entropy; train all folds at "
                "once, one run after the other."
            )
        if self.train.balance == "sampling" and not self.target.needs_label:
            raise UserError("train.balance is sampling, but no target is a label; choose another.")
        if self.domain.kind != "none":
            self.domain.check_model(model, self.train.accumulate)
        if isinstance(model, Functionals):
            model.check_length(self.data.max_seconds)
        for name, given in (
            ("mixup", augment.mixup > 0),
            ("mixup_of features", augment.mixup_of == "features"),
            ("mel_masks", augment.mel_masks + augment.time_masks > 0),
            ("waves", augment.changes_waves),
            ("channel", augment.changes_channel),
        ):
            if given and name not in model.augmentations:
                whose = "with model.adapter.encode_once " if model.encoded_once else ""
                whose = "with a frozen encoder " if model.frozen_encoder else whose
                raise UserError(
                    f"augment: {_AUGMENTATIONS[name]} is given, but model.family {model.family} {whose}does without "
                    "it; leave it out."
                )
        if augment.mixup_of == "features" and not augment.mixup:
            raise UserError("augment.mixup_of is features; it needs augment.mixup above 0; leave it out.")


_AUGMENTATIONS = {
    "mixup": "mixup",
    "mixup_of features": "mixup of features",
    "mel_masks": "SpecAugment of spectrograms (mel_masks, time_masks)",
    "waves": "augmentation of waves (speed_factors, gain, noise, rir)",
    "channel": "codecs or babble (codec, babble_p)",
}


def check_name(name: str) -> None:
    """See that a run folder can have this name.

    Raises:
        UserError: it cannot.
    """
    if name != Path(name).name or name in ("", ".", ".."):
        raise UserError(f"name is {name!r}; it must be the name of a folder below --out.")


def cache_folder(experiment: Experiment) -> Path:
    """Return the folder that holds those of decoded clips, frames and features: data.cache, or that of the run."""
    return Path(experiment.data.cache or experiment.whole_dir.parent).expanduser().absolute()
