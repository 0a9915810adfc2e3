"""Runs of an experiment with every combination of some values, and one table of them."""

import itertools
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import jax

from serjax.config.experiment import Experiment, cache_folder
from serjax.config.options import with_fields
from serjax.evaluation.history import chosen_histories, kept_row, validation_score
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.report import Report
from serjax.evaluation.tables import SCORES, percent
from serjax.runs.finetune import train, train_together
from serjax.runs.folder import is_finished
from serjax.runtime.disk import write_text
from serjax.runtime.distributed import from_first
from serjax.runtime.errors import UserError
from serjax.runtime.fingerprint import fingerprint
from serjax.runtime.json_files import contents_of, parse_json, read_json
from serjax.training.choose_together import choose_together
from serjax.training.loop import Diverged
from serjax.training.metric_log import read_history
from serjax.training.trials import VALUES

log = logging.getLogger(__name__)

SIDE_BY_SIDE = ("optimizer.max_lr", *VALUES)
"""Fields of which one program trains several values."""

_AGAIN = "remove this folder and search again"
_UNFINISHED = "unfinished-"
"""Beginning of the folders of the states from which groups go on."""


def combinations(experiment: Experiment) -> Iterator[tuple[dict[str, Any], Experiment]]:
    """Yield the values of each combination, and the experiment that has them, in a folder below the experiment's own.

    Raises:
        UserError: a field that does not exist, that is given twice or cannot be varied, or a value that does not fit.
    """
    tried = [(str(name).replace("-", "_"), values) for name, *values in experiment.search]
    names = [name for name, _ in tried]
    if experiment.job:
        raise UserError("--search and --job are both given; leave out --job, or train one combination at a time.")
    for name, values in tried:
        if name in ("name", "out", "overwrite", "search") or not values:
            give = "give values after it" if not values else "it does not change what is trained"
            raise UserError(f"--search {name}: {give}, as in --search optimizer.max_lr 1e-4 1e-3.")
    if len(set(names)) < len(names):
        raise UserError(f"--search {' '.join(names)}: a field is given twice; give all its values at once.")
    shared = {"search": (), "out": str(experiment.run_dir), "data.cache": str(cache_folder(experiment))}
    for combination in itertools.product(*(values for _, values in tried)):
        chosen = {name: _parsed(value, name) for name, value in zip(names, combination, strict=True)}
        name = " ".join(f"{field}={_shown(value)}" for field, value in chosen.items()).replace("/", "_")
        yield chosen, with_fields(replace(experiment, search=()), {**shared, **chosen, "name": name})


def _parsed(value: Any, name: str) -> Any:
    """Return a value of the command line: None and lists, such as [0.9,1.1], are written as text there."""
    if value == "None":
        return None
    if not (isinstance(value, str) and value.startswith("[")):
        return value
    try:
        return parse_json(value, f"--search {name}")
    except UserError:
        raise UserError(
            f'--search {name} {value}: it is no list; write one as in "[0.9, 1.1]", and texts as in ["a"].'
        ) from None


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list) else str(value)


def search(experiment: Experiment, command: str) -> Report:
    """Train every combination that is not finished yet; write a table of all, and return its rows.

    Combinations that differ only in numbers which change no shape (`SIDE_BY_SIDE`) train side by side wherever folds
    do, see `serjax.training.fold_axis.choose_together`. One whose numbers are no longer finite is given up; its row
    comes last. Settings are in the order of their validation scores (means over seeds), by which one may choose; test
    scores are for reporting.

    Args:
        experiment: what is varied, by its `search`.
        command: by which it was asked for.

    Raises:
        UserError: a combination cannot be, which is told before any is trained; or all were given up.
    """
    every = list(combinations(experiment))
    unfinished, done = [], 0
    finished = from_first("finished", lambda: [is_finished(one) and not one.overwrite for _, one in every])
    for (_, one), ready in zip(every, finished, strict=True):
        if not ready:
            unfinished.append(one)
        else:
            log.info(f"{one.run_dir} is finished.")
    for group in side_by_side(unfinished):
        numbers = f"{done + 1}" if len(group) == 1 else f"{done + 1} to {done + len(group)}"
        done += len(group)
        names = ", ".join(one.name for one in group)
        log.info(f"Search, {numbers} of {len(unfinished)}{', side by side' * (len(group) > 1)}: {names}")
        try:
            _train(experiment, group, command)
        except Diverged as error:
            log.warning(f"{names}: {error}")
    return {"search": from_first("table", lambda: _write_table(experiment, every))}


def _write_table(experiment: Experiment, every: Sequence[tuple[dict[str, Any], Experiment]]) -> list[dict[str, Any]]:
    """Write search.md; return its rows."""
    # Those of groups of earlier calls too, which stopped while they wrote.
    for states in experiment.run_dir.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(states, ignore_errors=True)
    rows = [_row(chosen, one) for chosen, one in every]
    if all(row["validation_macro_f1"] is None for row in rows):
        raise UserError("the numbers of no combination stayed finite; lower the learning rates.")
    rows = [row for group in by_setting(rows) for row in group]
    write_text(experiment.run_dir / "search.md", search_table(rows))
    log.info(f"Written to {experiment.run_dir / 'search.md'}.")
    return rows


def side_by_side(experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Return the experiments in groups, each of which one program can train."""
    groups: list[tuple[Experiment, list[Experiment]]] = []
    for one in experiments:
        alike, (together, _) = (
            _without_values(one),
            choose_together(one.folds.together, backend=jax.default_backend(), frozen_encoder=one.model.frozen_encoder),
        )
        found = [group for key, group in groups if key == alike] if together else []
        if found:
            found[0].append(one)
        else:
            groups.append((alike, [one]))
    return [group for _, group in groups]


def _without_values(experiment: Experiment) -> Experiment:
    """Return the experiment with one and the same value of all that may differ side by side."""
    for name in SIDE_BY_SIDE:
        part, field = name.split(".")
        settings = getattr(experiment, part)
        # No limit of the norm is another program than some limit.
        if field == "max_lr" or getattr(settings, field) is not None:
            experiment = replace(experiment, **{part: replace(settings, **{field: 0.0})})
    return replace(experiment, name="")


def _train(experiment: Experiment, group: Sequence[Experiment], command: str) -> None:
    """Train a group side by side."""
    if len(group) == 1:
        train(group[0], command)
        return
    values = [tuple((name, _value(one, name)) for name in VALUES) for one in group]
    differing = [name for name, *column in zip(VALUES, *values, strict=True) if len({value for _, value in column}) > 1]
    values = [tuple((name, value) for name, value in own if name in differing) for own in values]
    folder = experiment.run_dir / f"{_UNFINISHED}{fingerprint([one.name for one in group])[:12]}"
    train_together(group, values, command, folder)


def _value(experiment: Experiment, name: str) -> Any:
    part, field = name.split(".")
    return getattr(getattr(experiment, part), field)


def _row(chosen: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Return a combination's values and scores, None where it was given up."""
    row = {"values": chosen, "run": str(experiment.run_dir)}
    if not is_finished(experiment):
        return row | dict.fromkeys(("validation_macro_f1", *METRICS))
    path = experiment.run_dir / "report.json"
    report: Report = read_json(path, remedy=_AGAIN)
    with contents_of(experiment.run_dir, _AGAIN):
        histories = chosen_histories(read_history(experiment.run_dir)).values()
        validation = fmean(validation_score(kept_row(history)) for history in histories)
        scores = {metric: float(report["out_of_fold"][metric]["score"]) for metric in METRICS}
    return row | {"validation_macro_f1": validation, **scores}


def by_setting(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return rows that differ in their seed alone together, the best by mean validation score first.

    Where a seed was given up, the setting comes after all of which none was.

    Args:
        rows: as `search` returns them.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(json.dumps(_without_seed(row), default=str), []).append(row)

    def rank(group: list[dict[str, Any]]) -> tuple[bool, float]:
        scores = [row["validation_macro_f1"] for row in group]
        finite = [score for score in scores if score is not None]
        return len(finite) < len(scores), -fmean(finite) if finite else 1.0

    return sorted(groups.values(), key=rank)


def search_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows that `search` returned as a table in Markdown, with scores in %.

    A row is a setting, with mean and standard deviation over its seeds where several were tried; the best by validation
    comes first and is marked.
    """
    groups = by_setting(rows)
    names = list(_without_seed(rows[0]))
    seeds = "seed" in rows[0]["values"]
    columns = ("validation_macro_f1", *METRICS)
    headings = ["", *names, *(["seeds"] if seeds else []), "validation macro-F1", *SCORES.values()]
    lines = [f"| {' | '.join(headings)} |", f"|---|{'---:|' * (len(headings) - 1)}"]
    for rank, group in enumerate(groups):
        finite = [row for row in group if row["validation_macro_f1"] is not None]
        count = str(len(group)) if len(finite) == len(group) else f"{len(finite)} of {len(group)}"
        values = [str(value) for value in _without_seed(group[0]).values()]
        scores = (_mean_and_spread([row[column] for row in finite]) for column in columns)
        best = "best" if rank == 0 and finite else ""
        lines.append(f"| {' | '.join([best, *values, *([count] if seeds else []), *scores])} |")
    if seeds:
        lines += ["", "Scores are means over the seeds of a setting, ± their standard deviation."]
    lines += ["", "Choose by the validation score; the others are of the tested clips, for reporting."]
    return "\n".join(lines) + "\n"


def _without_seed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row["values"].items() if name != "seed"}


def _mean_and_spread(scores: Sequence[float]) -> str:
    if not scores:
        return "not finite"
    return percent(fmean(scores)) + (f" ± {percent(stdev(scores))}" if len(scores) > 1 else "")
