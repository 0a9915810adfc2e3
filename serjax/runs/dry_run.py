"""A look before training: clips, folds, sound that crops leave out, what is suspicious, memory and time."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serjax.audio import SAMPLE_RATE
from serjax.audio.levels import Levels, measure_samples
from serjax.config.experiment import Experiment, cache_folder
from serjax.data.coverage import measure_coverage
from serjax.data.dataset import Data
from serjax.data.folds.fold import PARTS, Fold
from serjax.data.folds.make import chosen_folds
from serjax.data.store.clips import ClipStore
from serjax.data.suspicions.find import find_suspicions
from serjax.evaluation.report import OPTIMISTIC
from serjax.evaluation.tables import speakers_tested
from serjax.models.functional import count
from serjax.runs.finetune import experiment_data
from serjax.runs.planning.counting import size
from serjax.runs.planning.plan import Planner
from serjax.runs.planning.resolve import Extent, resolved
from serjax.runs.planning.steps import heads_epoch
from serjax.runs.planning.tables import gib
from serjax.runs.planning.topology import local_topology
from serjax.runs.setup import check_lengths, experiment_trials
from serjax.runtime import distributed
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.progress import progress_bar
from serjax.training.choose_together import choose_together

log = logging.getLogger(__name__)

_NAMES = 16
"""Characters for the names of a fold's tested speakers, so that a table stays within 80 columns,"""
_LABEL = 12
"""and for the name of a class."""


def dry_run(experiment: Experiment) -> Iterator[RenderableType]:
    """Yield tables of what training would use and take, for a terminal; no run folder is made.

    Clips are decoded into the cache, from which training takes them. Of a model that is trained, one step is compiled
    and timed on zeros on the devices at hand.

    Raises:
        UserError: settings, clips or folds that training would refuse; or several processes. A model that is refused is
            told of behind the tables of clips and folds.
    """
    if distributed.several():
        raise UserError("--dry-run looks at one machine; leave out --hosts, and start it as one process.")
    validate(experiment)
    data = experiment_data(experiment)
    folds = chosen_folds(data.folds, experiment.folds.only)
    log.info(f"Clips are decoded and kept in {cache_folder(experiment)}, where training finds them.")
    if experiment.search:
        log.info("The search is left out: one of its runs is looked at.")
    yield _class_table(data)
    yield _fold_table(data, folds)
    yield from _sound_table(experiment, data)
    yield _list("Suspicious", list(_suspicions(experiment, data, folds)) or ["Nothing."])
    yield _cost(experiment, data, folds)
    yield Text("Nothing was trained (--dry-run).")


def _suspicions(experiment: Experiment, data: Data, folds: Sequence[Fold]) -> Iterator[str]:
    yield from data.leakage_notes
    if experiment.folds.validation == "test":
        yield OPTIMISTIC
    if data.store.skipped:
        yield f"{len(data.store.skipped)} clips are skipped as unreadable: {one_of(list(data.store.skipped))}"
    for one in find_suspicions(data.store.utterances, _levels(data), folds):
        yield one.text


def _levels(data: Data) -> dict[int, Levels]:
    """Measure the clips as they were decoded, mono at 16 kHz; none where no sound is."""
    if not isinstance(data.store, ClipStore):
        return {}
    levels = {}
    with progress_bar("clips") as bar:
        task = bar.add_task("measuring", total=len(data.store), rate="")
        for i in range(len(data.store)):
            levels[i] = measure_samples(data.store.clip(i))
            bar.advance(task)
    return levels


def _class_table(data: Data) -> Table:
    table = _table("Clips", "class", "clips", "speakers", "minutes")
    everything = np.arange(len(data.classes))
    for c, label in enumerate(data.labels):
        table.add_row(label, *_amount(data, np.flatnonzero(data.classes == c)))
    table.add_section()
    table.add_row("all", *_amount(data, everything))
    return table


def _fold_table(data: Data, folds: Sequence[Fold]) -> Table:
    columns = ("fold", "part", "clips", "speakers", "minutes", "classes", "fewest", "tested")
    table = _table("Folds, with clips of the rarest class and speakers tested", *columns)
    clips = data.store.utterances
    for fold in folds:
        for part in PARTS:
            rows = np.array(getattr(fold, part))
            counts = Counter(clips[i].label for i in rows)
            least = min(data.labels, key=lambda label: counts[label])
            # Clips without a speaker are told in another column.
            named = sorted({clips[i].speaker or "?" for i in rows}) if part == "test" else []
            table.add_row(
                str(fold.number) if part == "train" else "",
                part,
                *_amount(data, rows),
                f"{len(counts)} of {len(data.labels)}",
                f"{counts[least]} {least[:_LABEL]}",
                speakers_tested({"tested": named, "speakers": len(named)}, _NAMES) if named else "",
            )
        table.add_section()
    return table


def _amount(data: Data, rows: np.ndarray) -> list[str]:
    """Return the number of clips and speakers, and minutes of sound, of some clips."""
    speakers = {data.store.utterances[i].speaker for i in rows}
    minutes = float(data.store.lengths[rows].sum()) / SAMPLE_RATE / 60
    return [str(len(rows)), "-" if None in speakers else str(len(speakers)), f"{minutes:.1f}"]


def _sound_table(experiment: Experiment, data: Data) -> list[RenderableType]:
    """Return how much of the sound crops hold; nothing where none is heard."""
    found = measure_coverage(data.store.lengths, experiment.data.max_seconds)
    if "sound" not in experiment.model.modalities or not found.seconds:
        return []
    crop = experiment.data.eval_crop
    table = _table(f"Sound in crops of {found.crop:g} s (data.max_seconds)", "", "")
    table.add_row("clips that are longer", f"{found.longer} of {found.clips} ({found.longer / found.clips:.0%})")
    table.add_row(f"never heard in evaluation (data.eval_crop {crop})", f"{found.share:.0%} of the sound")
    if experiment.model.encoded_once:
        table.add_row("never heard in training, on features of the same crops", f"{found.share:.0%} of the sound")
    else:
        table.add_row("not heard in an epoch of training (random crops)", f"{found.share:.0%} of the sound")
    return [table]


def _cost(experiment: Experiment, data: Data, folds: Sequence[Fold]) -> RenderableType:
    trials = len(experiment_trials(experiment, data.folds))
    whole = resolved(experiment, heads=True)
    check_lengths(whole, data, whole.model.min_samples, whole.model.max_samples)
    if whole.model.encoded_once:
        return _heads_cost(whole, data, trials)
    return _step_cost(whole, data, folds, trials)


def _heads_cost(experiment: Experiment, data: Data, trials: int) -> Table:
    """Return what features of a frozen encoder take; encoding is not timed."""
    steps = -(-len(data.classes) // experiment.train.batch_size)
    epoch = heads_epoch(experiment, len(data.labels), clips=len(data.classes), steps=steps)
    table = _table("Memory and time: a frozen encoder, read once", "", "")
    table.add_row("clips that it encodes once, for all folds", str(len(data.classes)))
    table.add_row("features in memory and on disk, GiB", gib(size(epoch.arguments[4])))
    table.add_row("heads that are trained at once (folds, seeds, rates)", str(trials))
    table.add_row("weights of a head", f"{count(epoch.state.params):,}")
    table.add_row("time", "not planned; it is that of encoding, heads take little")
    return table


def _step_cost(experiment: Experiment, data: Data, folds: Sequence[Fold], trials: int) -> RenderableType:
    """Return memory and time of a step on the devices at hand, compiled and timed where it fits."""
    together, why = choose_together(experiment.folds.together, backend=jax.default_backend(), frozen_encoder=False)
    at_once = trials if together else 1
    extent = Extent(
        at_once,
        max(len(fold.train) for fold in folds),
        max(len(fold.validation) for fold in folds),
        len(data.labels),
        "",
    )
    planner = Planner(experiment, extent, local_topology(jax.devices()), devices=jax.devices())
    planner.choose_shard(experiment.mesh.shard)
    shape, chip = planner.default(), planner.topology.chip
    plan = planner.mesh(*shape)
    fits = plan.fits(chip)
    if fits:
        log.info("One step is compiled for the devices at hand, and timed three times on zeros.")
        plan = planner.mesh(*shape, compile=True)
    table = _table(f"Memory and time on {planner.topology.count} x {chip.name}", "", "")
    table.add_row("weights that are trained, a fold", f"{count(planner.step.state.params):,}")
    table.add_row("weights that are frozen", f"{count(planner.step.frozen):,}")
    table.add_row("folds x seeds x rates, of which at once", f"{trials}, {at_once}")
    least = "" if fits else ", at most"
    table.add_row(f"memory of a device{least}", f"{gib(plan.memory)} of {gib(chip.memory)} GiB")
    if not fits:
        advice = "a smaller train.batch-size, train.accumulate, model.remat or folds.at-once"
        return Group(table, Text(f"It may not fit, and was not timed; give {advice}.\n"))
    table.add_row("a step", f"{1e3 * plan.seconds:.3g} ms (measured on zeros)")
    hours = plan.hours * (trials / at_once)
    length = f"{60 * hours:.2g} min" if hours < 1 else f"{hours:.2g} h"
    table.add_row("all epochs, at most", length)
    left = "Early stopping ends sooner; reading of clips and compilation come on top."
    return Group(table, Text(f"{why[0].upper()}{why[1:]}\n{left}\n"))


def _table(title: str, *columns: str) -> Table:
    headed = any(columns)
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=headed,
        padding=(0, 1, 0, 0),
    )
    for number, column in enumerate(columns):
        words = column in ("part", "tested") or number == 0
        table.add_column(column, justify="left" if words else "right", no_wrap=True, overflow="fold")
    return table


def _list(title: str, lines: Sequence[str]) -> Text:
    return Text("\n".join([title, *(f"- {line}" for line in lines), ""]))
