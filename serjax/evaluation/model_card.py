"""The README.md of a run folder: a model card for people, with the front matter that Hugging Face's hub reads."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from serjax.evaluation.calibration_tables import QUALITY_HEADINGS, calibration_section, quality_row
from serjax.evaluation.config import CardConfig
from serjax.evaluation.layer_page import weights_section
from serjax.evaluation.markdown import bullets, table
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.report import Report
from serjax.evaluation.tables import (
    CLASS_HEADINGS,
    GROUP_HEADINGS,
    SCORES,
    class_rows,
    evaluation_rows,
    extra_rows,
    fold_headings,
    fold_rows,
    group_rows,
    percent,
    rates_were_tried,
    summary_rows,
)
from serjax.evaluation.target_card import target_results, target_scores, target_summary

_HUB_METRICS = {"wa": ("accuracy", "WA"), "ua": ("recall", "UA (macro recall)"), "macro_f1": ("f1", "macro-F1")}
_TASK = "audio-classification"
_INTENDED_USE = (
    "Research on speech emotion recognition, and recordings like those it was trained on. It was not tested for "
    "decisions about people."
)


def model_card(report: Report) -> str:
    """Return the model card as Markdown: scores, what limits them, data, protocol, use, versions.

    No license is guessed: those of the recordings and of the pretrained weights are for whoever publishes the model to
    heed, who names it with `CardConfig`.

    Args:
        report: what `build_report` returned, or `serjax.runs.target_results` wrote.
    """
    parts = [
        f"---\n{_front_matter(report)}\n---",
        f"# {report['experiment']['name']}",
        *([target_summary(report), *target_scores(report)] if "tasks" in report else _class_scores(report)),
        *weights_section(report),
        "## Before you quote these scores",
        bullets([_prose(report, note) for note in report["notes"]] or ["Nothing out of the ordinary was noticed."]),
        "## Intended use",
        _card(report)["intended_use"] or _INTENDED_USE,
        "## Limits",
        _limits(report),
        "## Data",
        _data(report),
        "## Protocol",
        _protocol(report),
        "## Use",
        _use(report),
        "## How it was made",
        _making(report),
        "## License",
        _license(report),
        *_citation(report),
    ]
    return "\n\n".join(parts) + "\n"


def _class_scores(report: Report) -> list[str]:
    return [
        _summary(report),
        "## Scores",
        _scores(report),
        "![Confusion matrix](confusion.png)",
        "![Training curves](curves.png)",
        *calibration_section(report),
    ]


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
        table(["", *SCORES.values()], evaluation_rows(report)),
        table(CLASS_HEADINGS, class_rows(report)),
        *_groups(report),
        *_trust(report),
        "![Confusion matrix](confusion.png)",
        *([bullets(report["notes"])] if report["notes"] else []),
        f"## Command\n\n    {report['command']}",
    ]
    return "\n\n".join(parts) + "\n"


def _trust(report: Report) -> list[str]:
    """Return the calibration of an evaluation's answers, where they are probabilities."""
    if not report.get("calibration"):
        return []
    return [
        "Expected calibration error (15 bins), mean score and accuracy of the most probable label, Brier score (0 to "
        "2) and NLL in nats:",
        table(QUALITY_HEADINGS, [quality_row("all clips", report["calibration"])]),
        "![Reliability diagram](reliability.png)",
    ]


def _front_matter(report: Report) -> str:
    name = report["facts"]["corpus"]
    dataset = re.sub(r"\W+", "-", name.lower()).strip("-") or "private"
    corpus = {"task_type": _TASK, "dataset_type": dataset, "dataset_name": name}
    if "tasks" in report:
        results = target_results(report["tasks"], corpus)
    else:
        results = [
            EvalResult(
                **corpus,
                metric_type=_HUB_METRICS[metric][0],
                metric_name=_HUB_METRICS[metric][1],
                metric_value=round(report["out_of_fold"][metric]["score"], 4),
            )
            for metric in METRICS
        ]
    card = _card(report)
    data = ModelCardData(
        language=list(card["language"]) or None,
        license=card["license"],
        base_model=_base_models(report) or None,
        library_name="serjax",
        pipeline_tag=_TASK,
        tags=["speech-emotion-recognition", _TASK, "jax", _family(report)],
        metrics=list(dict.fromkeys(result.metric_type for result in results)),
        model_name=report["experiment"]["name"],
        eval_results=results,
    )
    return data.to_yaml().strip()


def _card(report: Report) -> Mapping[str, Any]:
    """Return the settings of the card; runs of before have none."""
    return asdict(CardConfig()) | report["experiment"].get("card", {})


def _base_models(report: Report) -> list[str]:
    given = _card(report)["base_model"]
    return [given] if given else list(report["facts"].get("base_models", ()))


def _prose(report: Report, text: str) -> str:
    """Return a sentence for a page: regular expressions as code, and no `<` that a browser would take for a tag."""
    data = report["experiment"]["data"]
    patterns = [value for name, value in data.items() if name.endswith("_pattern") and value]
    pieces = re.split("|".join(f"({re.escape(one)})" for one in patterns), text) if patterns else [text]
    return "".join(
        _code(piece) if piece in patterns else piece.replace("<", "&lt;") for piece in pieces if piece is not None
    )


def _code(text: str) -> str:
    """Return text as code, between more backticks than stand in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, gap = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{gap}{text}{gap}{fence}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _limits(report: Report) -> str:
    facts, given = report["facts"], _card(report)["limits"]
    people = "unknown speakers" if facts["speakers"] is None else _plural(facts["speakers"], "speaker")
    lines = [
        f"Trained and scored on {_prose(report, facts['corpus'])} alone ({people}): other recordings, languages, rooms "
        "and microphones are untested, unless an evaluation says so.",
        "It always answers, also where there is nothing to answer."
        if "tasks" in report
        else f"It always answers with one of {', '.join(report['labels'])}, also where none of them fits.",
    ]
    return bullets([*([given] if given else []), *lines])


def _license(report: Report) -> str:
    card, lines = _card(report), []
    lines.append(f"Models: {card['license'] or 'not named; until it is, ask before you use them'}.")
    lines.append(f"Recordings: {card['data_license'] or 'not named; see where they come from'}.")
    for name in _base_models(report):
        lines.append(f"Pretrained weights: those of `{name}`, whose terms hold too.")
    return bullets([line.replace("..", ".") for line in lines])


def _citation(report: Report) -> list[str]:
    given = _card(report)["citation"]
    if not given:
        return []
    return ["## Citation", f"```bibtex\n{given.strip()}\n```" if given.lstrip().startswith("@") else given]


def _family(report: Report) -> str:
    return str(report["facts"]["family"])


def _summary(report: Report) -> str:
    labels, whole, folds = report["labels"], report["out_of_fold"], report["folds"]
    count = len(folds) * (report["seeds"]["count"] if report["seeds"] else 1)
    whose = "one a fold and seed" if report["seeds"] else "one a fold"
    members = "One model" if count == 1 else f"An ensemble of {count} models, {whose},"
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
        table(headings, [*fold_rows(report, width=80), *below]),
    ]
    if report["last_epoch"]:
        parts += [
            "At each fold's last epoch instead, which no score chose (though early stopping decided when it came):",
            table(["", *SCORES.values()], summary_rows(report["last_epoch"])),
        ]
    return "\n\n".join([*parts, table(CLASS_HEADINGS, class_rows(report)), *_groups(report)])


def _groups(report: Report) -> list[str]:
    """Return a sentence and a table for each attribute of the speakers."""
    return [
        text
        for scored in report.get("groups", ())
        for text in (
            f"By {scored['attribute']}, UA in %; the last row is the gap between the best group and the worst:",
            table(GROUP_HEADINGS, group_rows(scored)),
        )
    ]


def _data(report: Report) -> str:
    facts, data = report["facts"], report["experiment"]["data"]
    counts = facts["clips_per_class"]
    speakers = "unknown speakers" if facts["speakers"] is None else _plural(facts["speakers"], "speaker")
    heard = (
        "Clips are decoded to 16 kHz mono. "
        f"Training uses random crops of {data['max_seconds']:g} s, the scores above the {data['eval_crop']} of a clip, "
        "up to the same length; `serjax.predict` answers a longer clip by the mean over windows of that length."
    )
    if "sound" not in facts["modalities"]:
        heard = "Their sound is not used."
    notes = [_prose(report, f"{note.rstrip('.')}.") for note in facts["corpus_notes"]]
    counts = {label or "without a label": count for label, count in counts.items()}
    return (
        " ".join([*notes, ""]) + f"{facts['corpus']}: {_plural(sum(counts.values()), 'clip')} of {speakers} "
        f"({', '.join(f'{label} {count}' for label, count in counts.items())}). {heard}"
    )


def _protocol(report: Report) -> str:
    facts, folds = report["facts"], report["experiment"]["folds"]
    train = report["experiment"]["train"]
    score = "the validation score" if "tasks" in report else "macro-F1"
    watched = {
        "train": _held_out(facts, folds),
        "test": "the fold's own test clips",
    }[folds["validation"]]
    lines = [
        f"Folds: {len(report['folds'])}, {facts['fold_kind'].replace('_', ' ')}, listed in `folds.json`.",
        f"{facts['model']}. {facts['parameters']:,} weights, of which {facts['trainable']:,} were trained.",
        f"The last of {_plural(train['epochs'], 'epoch')} was kept; {watched} validated."
        if train["keep"] == "last"
        else f"Early stopping watched {score} on {watched}: at most {_plural(train['epochs'], 'epoch')}, patience "
        f"{train['patience']}; the best epoch was kept.",
    ]
    if rates_were_tried(report):
        rates = ", ".join(f"{rate:g}" for rate in train["learning_rates"])
        lines.append(f"The learning rate was chosen among {rates} by the same clips, fold by fold.")
    if report["seeds"]:
        lines.append(
            f"Trained with {report['seeds']['count']} seeds; folds, classes and pictures are those of the first. The "
            "models of all are here and answer together, as those of each clip's fold do in `seeds together`."
        )
    return bullets(lines)


def _held_out(facts: Mapping[str, Any], folds: Mapping[str, Any]) -> str:
    """Return how much of the training part validated in truth: whole speakers seldom come to the share asked for."""
    asked, found = f"{100 * folds['validation_share']:g} %", facts.get("validation_shares")
    if not found:
        return f"{asked} of the training part"
    low, high = (f"{100 * share:.0f}" for share in found)
    return f"{low if low == high else f'{low} to {high}'} % of the training part, held out ({asked} were asked for)"


def _use(report: Report) -> str:
    experiment = report["experiment"]
    run = (PurePath(experiment["out"]) / experiment["name"]).as_posix()
    if experiment.get("job"):
        return (
            "These are the folds of one job. When the jobs of all folds are finished, put them together:\n\n"
            f"```sh\npython -m serjax.gather {run}\n```"
        )
    clip = "clip.mp4" if "video" in report["facts"]["modalities"] else "clip.wav"
    others = [f"\npython -m serjax.predict {run} {clip} --task {one['name']}" for one in report.get("tasks", ())[1:]]
    return (
        f"```sh\npython -m serjax.predict {run} {clip}{''.join(others)}\n```\n\n"
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
        "settings are in `experiment.json`, all numbers in `report.json`, each clip's answer in "
        f"{'`oof_TASK.csv`' if 'tasks' in report else '`oof.csv`'}."
    )
