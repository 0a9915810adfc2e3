"""README.md of a run with targets other than one class."""

from pathlib import PurePath
from typing import Any

from serjax.evaluation.markdown import bullets, table
from serjax.evaluation.task_report import Section
from serjax.evaluation.task_scores import KEYS, NAMES
from serjax.evaluation.task_tables import each_headings, each_rows, section_headings, section_rows, with_interval

_KINDS = {
    "class": "one class a clip",
    "soft": "the shares in which annotators vote for the classes",
    "multilabel": "labels, each for itself",
    "dimensions": "values",
}


def target_card(report: dict[str, Any]) -> str:
    """Return the page as Markdown: tasks, scores, what limits them, data, use and how it was made."""
    experiment, facts, sections = report["experiment"], report["facts"], report["tasks"]
    run = (PurePath(experiment["out"]) / experiment["name"]).as_posix()
    others = [section["name"] for section in sections[1:]]
    use = [f"python -m serjax.predict {run} clip.wav"]
    use += [f"python -m serjax.predict {run} clip.wav --task {name}" for name in others]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    speakers = "unknown speakers" if facts["speakers"] is None else f"{facts['speakers']} speakers"
    front = (
        "---\nlibrary_name: serjax\npipeline_tag: audio-classification\ntags:\n- speech-emotion-recognition\n- jax\n---"
    )
    parts = [
        front,
        f"# {experiment['name']}",
        " ".join(_sentence(section) for section in sections),
        *(text for section in sections for text in _section(section)),
        "![Training curves](curves.png)",
        "## Before you quote these scores",
        bullets(
            [note.replace("<", "&lt;") for note in report["notes"]] or ["Nothing out of the ordinary was noticed."]
        ),
        "## Data",
        " ".join(
            [
                *facts["corpus_notes"],
                f"{facts['corpus']}: {sum(facts['clips_per_class'].values())} clips of {speakers}.",
            ]
        ),
        "## Use",
        "```sh\n" + "\n".join(use) + "\n```",
        "## How it was made",
        f"```sh\n{facts['command']}\n```\n\n{facts['model']}. Seed {experiment['seed']}, {facts['device']}; {versions}."
        " All settings are in `experiment.json`, all numbers in `report.json`, each clip's answers in `oof_TASK.csv`.",
    ]
    return "\n\n".join(parts) + "\n"


def _sentence(section: Section) -> str:
    main = KEYS[section["kind"]][2 if section["kind"] in ("class", "soft") else 0]
    outputs = ", ".join(section["outputs"])
    return (
        f"Task {section['name']}: {_KINDS[section['kind']]} ({outputs}); out of fold {NAMES[main]} is "
        f"{with_interval(main, section['scores'][main])}."
    )


def _section(section: Section) -> list[str]:
    interval = section["interval"]
    return [
        f"## {section['name']}",
        f"The interval is a percentile bootstrap that draws {interval['resampled']}, {interval['count']} of them, "
        f"{interval['draws']} times.",
        table(section_headings(section), section_rows(section)),
        table(each_headings(section), each_rows(section)),
        f"![{section['name']}]({section['name']}.png)",
    ]
