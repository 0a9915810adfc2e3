"""The README.md of a run folder: a model card for people, with the front matter that Hugging Face's hub reads."""

import re
from collections.abc import Sequence
from pathlib import PurePath

from huggingface_hub import EvalResult, ModelCardData

from serjax.evaluation.metrics import METRICS
from serjax.evaluation.report import Report
from serjax.evaluation.tables import (
    CLASS_HEADINGS,
    SCORES,
    class_rows,
    evaluation_rows,
    extra_rows,
    fold_headings,
    fold_rows,
    percent,
    rates_were_tried,
    summary_rows,
)

_HUB_METRICS = {"wa": ("accuracy", "WA"), "ua": ("recall", "UA (macro recall)"), "macro_f1": ("f1", "macro-F1")}
_TASK = "audio-classification"


def model_card(report: Report) -> str:
    """Return the model card as Markdown: scores, what limits them, data, protocol, use, versions.

    No license is named: that of the recordings and of the pretrained weights is for whoever publishes the model.

    Args:
        report: what `build_report` returned.
    """
    parts = [
        f"---\n{_front_matter(report)}\n---",
        f"# {report['experiment']['name']}",
        _summary(report),
        "## Scores",
        _scores(report),
        "![Confusion matrix](confusion.png)",
        "![Training curves](curves.png)",
        "## Before you quote these scores",
        _bullets(report["notes"] or ["Nothing out of the ordinary was noticed in this run."]),
        "## Data",
        _data(report),
        "## Protocol",
        _protocol(report),
        "## Use",
        _use(report),
        "## How it was made",
        _making(report),
    ]
    return "\n\n".join(parts) + "\n"


def evaluation_page(report: Report) -> str:
    """Return the README.md of an evaluation on other clips than a run's own, as Markdown.

    Args:
        report: what `serjax.runs.evaluate.evaluate` returned.
    """
    interval = report["interval"]
    parts = [
        f"# {report['name']}",
        f"{interval['clips']} clips, scores in %. The interval is a percentile bootstrap that draws "
        f"{interval['resampled']}, {interval['count']} of them, {interval['draws']} times.",
        _table(["", *SCORES.values()], evaluation_rows(report)),
        _table(CLASS_HEADINGS, class_rows(report)),
        "![Confusion matrix](confusion.png)",
        *([_bullets(report["notes"])] if report["notes"] else []),
        f"## Command\n\n    {report['command']}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(report: Report) -> str:
    corpus, whole = report["facts"]["corpus"], report["out_of_fold"]
    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type=re.sub(r"\W+", "-", corpus.lower()).strip("-") or "private",
            dataset_name=corpus,
            metric_type=_HUB_METRICS[metric][0],
            metric_name=_HUB_METRICS[metric][1],
            metric_value=round(whole[metric]["score"], 4),
        )
        for metric in METRICS
    ]
    data = ModelCardData(
        library_name="serjax",
        pipeline_tag=_TASK,
        tags=["speech-emotion-recognition", _TASK, "jax", _family(report)],
        metrics=[name for name, _ in _HUB_METRICS.values()],
        model_name=report["experiment"]["name"],
        eval_results=results,
    )
    return data.to_yaml().strip()


def _family(report: Report) -> str:
    return str(report["facts"]["family"])


def _summary(report: Report) -> str:
    labels, whole, folds = report["labels"], report["out_of_fold"], report["folds"]
    members = "One model" if len(folds) == 1 else f"An ensemble of {len(folds)} models, one a fold,"
    return (
        f"{members} that tells {len(labels)} emotions apart in speech: {', '.join(labels)}. On clips that a model was "
        f"not trained on, UA is {percent(whole['ua']['score'])} % (chance {percent(report['chance']['ua'])} %), WA "
        f"{percent(whole['wa']['score'])} %, macro-F1 {percent(whole['macro_f1']['score'])} %."
    )


def _scores(report: Report) -> str:
    headings = [heading.replace("\n", " ") for heading in fold_headings(report)]
    blank = [""] * (len(headings) - 1 - len(METRICS))
    below = [[name, *blank, *cells] for name, *cells in [*summary_rows(report), *extra_rows(report)]]
    interval = report["interval"]
    parts = [
        "In %. WA is accuracy, UA the mean of the classes' recalls; the epoch that was kept is given with the number "
        "of epochs trained. The spread is the standard deviation (n - 1); the "
        f"interval is a percentile bootstrap that draws {interval['resampled']}, {interval['count']} of them, "
        f"{interval['draws']} times. Chance is always answering the largest class (WA), or any one class (UA).",
        _table(headings, [*fold_rows(report, width=80), *below]),
    ]
    if report["last_epoch"]:
        parts += [
            "At each fold's last epoch instead, which no score chose (though early stopping decided when it came):",
            _table(["", *SCORES.values()], summary_rows(report["last_epoch"])),
        ]
    return "\n\n".join([*parts, _table(CLASS_HEADINGS, class_rows(report))])


def _data(report: Report) -> str:
    facts, data = report["facts"], report["experiment"]["data"]
    counts = facts["clips_per_class"]
    speakers = "unknown speakers" if facts["speakers"] is None else f"{facts['speakers']} speakers"
    heard = (
        "Clips are decoded to 16 kHz mono. "
        f"Training uses random crops of {data['max_seconds']:g} s, evaluation the {data['eval_crop']} of a clip, up to "
        "the same length."
    )
    if "sound" not in facts["modalities"]:
        heard = "Their sound is not used."
    return (
        " ".join([*facts["corpus_notes"], ""]) + f"{facts['corpus']}: {sum(counts.values())} clips of {speakers} "
        f"({', '.join(f'{label} {count}' for label, count in counts.items())}). {heard}"
    )


def _protocol(report: Report) -> str:
    facts, folds = report["facts"], report["experiment"]["folds"]
    train = report["experiment"]["train"]
    watched = {
        "train": f"{100 * folds['validation_share']:g} % of the training part",
        "test": "the fold's own test clips",
    }[folds["validation"]]
    lines = [
        f"Folds: {len(report['folds'])}, {facts['fold_kind'].replace('_', ' ')}, listed in `folds.json`.",
        f"{facts['model']}. {facts['parameters']:,} weights, of which {facts['trainable']:,} were trained.",
        f"The last of {train['epochs']} epochs was kept; {watched} validated."
        if train["keep"] == "last"
        else f"Early stopping watched macro-F1 on {watched}: at most {train['epochs']} epochs, patience "
        f"{train['patience']}; the best epoch was kept.",
    ]
    if rates_were_tried(report):
        rates = ", ".join(f"{rate:g}" for rate in train["learning_rates"])
        lines.append(f"The learning rate was chosen among {rates} by the same clips, fold by fold.")
    if report["seeds"]:
        lines.append(
            f"Trained with {report['seeds']['count']} seeds; folds, classes and pictures are those of the first."
        )
    return _bullets(lines)


def _use(report: Report) -> str:
    experiment = report["experiment"]
    run = (PurePath(experiment["out"]) / experiment["name"]).as_posix()
    if experiment.get("job"):
        return (
            "These are the folds of one job. When the jobs of all folds are finished, put them together:\n\n"
            f"```sh\npython -m serjax.gather {run}\n```"
        )
    clip = "clip.mp4" if "video" in report["facts"]["modalities"] else "clip.wav"
    return (
        f"```sh\npython -m serjax.predict {run} {clip}\n```\n\n"
        f'```python\nimport serjax\n\nmodel = serjax.load("{run}")\n'
        f'model("{clip}")  # [{{"label": ..., "score": ...}}, ...], the most probable first\n```'
    )


def _making(report: Report) -> str:
    facts, experiment = report["facts"], report["experiment"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    minutes, seconds = divmod(round(facts["seconds"]), 60)
    return (
        f"```sh\n{facts['command']}\n```\n\n"
        f"Seed {experiment['seed']}, {minutes} min {seconds} s of training on {facts['device']}; {versions}. All "
        "settings are in `experiment.json`, all numbers in `report.json`, each clip's answer in `oof.csv`."
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    aligned = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in [headings, aligned, *rows])


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
