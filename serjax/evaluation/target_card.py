"""Parts of a model card that tell the scores of targets other than one class."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult

from serjax.evaluation.markdown import table
from serjax.evaluation.task_report import Section
from serjax.evaluation.task_scores import KEYS, NAMES
from serjax.evaluation.task_tables import each_headings, each_rows, section_headings, section_rows, with_interval
from serjax.evaluation.tasks import metric_of

_KINDS = {
    "class": "one class a clip",
    "soft": "the shares in which annotators vote for the classes",
    "multilabel": "labels, each for itself",
    "dimensions": "values",
}


def target_summary(report: Mapping[str, Any]) -> str:
    """Return a sentence a task: what is asked, and the score that early stopping watched."""
    told = []
    for section in report["tasks"]:
        key = metric_of(section["kind"])
        told.append(
            f"Task {section['name']}: {_KINDS[section['kind']]} ({', '.join(section['outputs'])}); out of fold "
            f"{NAMES[key]} is {with_interval(key, section['scores'][key])}."
        )
    return " ".join(told)


def target_scores(report: Mapping[str, Any]) -> list[str]:
    """Return headings, tables and pictures of all tasks, and the training curves."""
    parts = []
    for section in report["tasks"]:
        interval = section["interval"]
        parts += [
            f"## {section['name']}",
            f"The interval is a percentile bootstrap that draws {interval['resampled']}, {interval['count']} of them, "
            f"{interval['draws']} times.",
            table(section_headings(section), section_rows(section)),
            table(each_headings(section), each_rows(section)),
            f"![{section['name']}]({section['name']}.png)",
        ]
    return [*parts, "![Training curves](curves.png)"]


def target_results(sections: list[Section], corpus: Mapping[str, Any]) -> list[EvalResult]:
    """Return the scores of the tasks as the hub has them.

    Args:
        sections: the report's.
        corpus: `dataset_type` and `dataset_name`, and the hub's `task_type`.
    """
    return [
        EvalResult(
            **corpus,
            metric_type=key,
            metric_name=f"{NAMES[key]} ({section['name']})",
            metric_value=round(section["scores"][key]["score"], 4),
        )
        for section in sections
        for key in KEYS[section["kind"]]
        if section["scores"][key]["score"] is not None
    ]
