"""Runs of an experiment with every combination of some values, and one table of them."""

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from statistics import fmean, stdev
from typing import Any

from serjax.config.experiment import Experiment, SearchConfig, cache_folder
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.report import Report, chosen_histories, kept_row
from serjax.evaluation.tables import SCORES, percent
from serjax.runs.folder import is_finished
from serjax.runtime.constraints import validate
from serjax.runtime.disk import write_text
from serjax.training.metric_log import read_history

log = logging.getLogger(__name__)

FUSION_SEARCH = ("d_model", "heads", "dropout", "stochastic_depth")
"""Fields of the model."""


def is_wanted(search: SearchConfig) -> bool:
    """Return whether there is anything to try."""
    return any(getattr(search, field.name) for field in fields(search))


def combinations(experiment: Experiment) -> Iterator[tuple[dict[str, Any], Experiment]]:
    """Yield what is tried, and the experiment that tries it, in a folder below the experiment's own."""
    search = experiment.search
    tried = {field.name: getattr(search, field.name) for field in fields(search) if getattr(search, field.name)}
    cache = str(cache_folder(experiment))
    for values in itertools.product(*tried.values()):
        chosen = dict(zip(tried, values, strict=True))
        fusion = {name: value for name, value in chosen.items() if name in FUSION_SEARCH}
        train = {name: value for name, value in chosen.items() if name == "label_smoothing"}
        yield (
            chosen,
            replace(
                experiment,
                name=" ".join(f"{name}={value}" for name, value in chosen.items()),
                out=str(experiment.run_dir),
                seed=chosen.get("seed", experiment.seed),
                search=SearchConfig(),
                data=replace(experiment.data, cache=cache),
                model=replace(experiment.model, **fusion),
                train=replace(experiment.train, **train),
            ),
        )


def search(experiment: Experiment, train: Callable[[Experiment], Report]) -> str:
    """Train every combination that is not finished yet, and return a table, which is also written.

    Rows are in the order of their validation scores, by which one may choose; test scores are for reporting.

    Args:
        experiment: what is varied.
        train: trains one experiment.

    Raises:
        UserError: a combination cannot be; it is told before any is trained.
    """
    rows = []
    every = list(combinations(experiment))
    for _, one in every:
        validate(one)
    for number, (chosen, one) in enumerate(every, 1):
        log.info(f"Search {number} of {len(every)}: {one.name}")
        report = _finished(one) or train(one)
        best = [
            kept_row(history)["validation_macro_f1"] for history in chosen_histories(read_history(one.run_dir)).values()
        ]
        rows.append((fmean(best), chosen, report))
    text = _table(sorted(rows, key=lambda row: -row[0]))
    write_text(experiment.run_dir / "search.md", text)
    log.info(f"Written to {experiment.run_dir / 'search.md'}.")
    return text


def _finished(experiment: Experiment) -> Report | None:
    """Return the report of an earlier run of this experiment."""
    if experiment.overwrite or not is_finished(experiment):
        return None
    report: Report = json.loads((experiment.run_dir / "report.json").read_text())
    return report


def _table(rows: list[tuple[float, dict[str, Any], Report]]) -> str:
    names = list(rows[0][1])
    scores = [[report["out_of_fold"][metric]["score"] for metric in METRICS] for _, _, report in rows]
    lines = [
        f"| {' | '.join([*names, 'validation macro-F1', *SCORES.values()])} |",
        f"|{'---:|' * (len(names) + 1 + len(METRICS))}",
    ]
    for (validation, chosen, _), found in zip(rows, scores, strict=True):
        cells = [*map(str, chosen.values()), percent(validation), *map(percent, found)]
        lines.append(f"| {' | '.join(cells)} |")
    spread = [
        f"{percent(fmean(column))} ± {percent(stdev(column)) if len(column) > 1 else '-'}"
        for column in zip(*scores, strict=True)
    ]
    blank = [""] * (len(names) - 1)
    lines.append(f"| {' | '.join(['mean ± std', *blank, percent(fmean(row[0] for row in rows)), *spread])} |")
    return "\n".join(lines) + "\n"
