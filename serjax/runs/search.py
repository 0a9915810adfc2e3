"""Runs of an experiment with every combination of some values, and one table of them."""

import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

from serjax.config.experiment import Experiment, cache_folder
from serjax.config.options import with_fields
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.report import Report, chosen_histories, kept_row
from serjax.evaluation.tables import SCORES, percent
from serjax.runs.finetune import train
from serjax.runs.folder import is_finished
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError
from serjax.training.metric_log import read_history

log = logging.getLogger(__name__)


def combinations(experiment: Experiment) -> Iterator[tuple[dict[str, Any], Experiment]]:
    """Yield the values of each combination, and the experiment that has them, in a folder below the experiment's own.

    Raises:
        UserError: a field that does not exist, that is given twice or cannot be varied, or a value that does not fit.
    """
    tried = [(str(name).replace("-", "_"), values) for name, *values in experiment.search]
    names = [name for name, _ in tried]
    for name, values in tried:
        if name in ("name", "out", "overwrite", "search") or not values:
            give = "give values after it" if not values else "it does not change what is trained"
            raise UserError(f"--search {name}: {give}, as in --search optimizer.max_lr 1e-4 1e-3.")
    if len(set(names)) < len(names):
        raise UserError(f"--search {' '.join(names)}: a field is given twice; give all its values at once.")
    shared = {"search": (), "out": str(experiment.run_dir), "data.cache": str(cache_folder(experiment))}
    for combination in itertools.product(*(values for _, values in tried)):
        chosen = dict(zip(names, combination, strict=True))
        name = " ".join(f"{field}={value}" for field, value in chosen.items()).replace("/", "_")
        yield chosen, with_fields(replace(experiment, search=()), {**shared, **chosen, "name": name})


def search(experiment: Experiment, command: str) -> Report:
    """Train every combination that is not finished yet; write a table of all, and return its rows.

    Rows are in the order of their validation scores, by which one may choose; test scores are for reporting.

    Args:
        experiment: what is varied, by its `search`.
        command: by which it was asked for.

    Raises:
        UserError: a combination cannot be; it is told before any is trained.
    """
    rows = []
    every = list(combinations(experiment))
    for number, (chosen, one) in enumerate(every, 1):
        log.info(f"Search {number} of {len(every)}: {one.name}")
        report = _finished(one) or train(one, command)
        best = [
            kept_row(history)["validation_macro_f1"] for history in chosen_histories(read_history(one.run_dir)).values()
        ]
        rows.append(
            {
                "values": chosen,
                "run": str(one.run_dir),
                "validation_macro_f1": fmean(best),
                **{metric: report["out_of_fold"][metric]["score"] for metric in METRICS},
            }
        )
    rows.sort(key=lambda row: -row["validation_macro_f1"])
    write_text(experiment.run_dir / "search.md", search_table(rows))
    log.info(f"Written to {experiment.run_dir / 'search.md'}.")
    return {"search": rows}


def search_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows that `search` returned as a table in Markdown, with scores in %."""
    names = list(rows[0]["values"])
    columns = ("validation_macro_f1", *METRICS)
    lines = [
        f"| {' | '.join([*names, 'validation macro-F1', *SCORES.values()])} |",
        f"|{'---:|' * (len(names) + len(columns))}",
    ]
    for row in rows:
        lines.append(f"| {' | '.join([*map(str, row['values'].values()), *(percent(row[c]) for c in columns)])} |")
    spread = [
        f"{percent(fmean(scores))} ± {percent(stdev(scores)) if len(scores) > 1 else '-'}"
        for scores in ([row[metric] for row in rows] for metric in METRICS)
    ]
    blank, validation = [""] * (len(names) - 1), percent(fmean(row["validation_macro_f1"] for row in rows))
    lines.append(f"| {' | '.join(['mean ± std', *blank, validation, *spread])} |")
    return "\n".join(lines) + "\n"


def _finished(experiment: Experiment) -> Report | None:
    """Return the report of an earlier run of this experiment."""
    if experiment.overwrite or not is_finished(experiment):
        return None
    log.info(f"{experiment.run_dir} is finished.")
    report: Report = json.loads((experiment.run_dir / "report.json").read_text())
    return report
