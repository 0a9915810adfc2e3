"""The page of a run with other targets: scores, notes and how to ask for each task."""

from answered_tasks import AVD, SOFT, answers

from serjax.evaluation.target_card import target_card
from serjax.evaluation.task_report import task_section


def test_page_tells_tasks_scores_and_use():
    sections = [task_section([answers(task)], 0) for task in (SOFT, AVD)]
    report = {
        "experiment": {"name": "run", "out": "checkpoints", "seed": 0},
        "facts": {
            "versions": {"jax": "0.10"},
            "speakers": 6,
            "corpus_notes": ["A list."],
            "corpus": "corpus",
            "clips_per_class": {"": 48},
            "command": "python -m serjax.train",
            "model": "Encoder: hubert",
            "device": "1 x cpu",
        },
        "tasks": sections,
        "notes": ["Speakers <10>."],
    }
    page = target_card(report)
    assert page.startswith("---\n")
    assert "python -m serjax.predict checkpoints/run clip.wav --task avd" in page
    assert "![avd](avd.png)" in page
    assert "Speakers &lt;10>." in page
    assert "| out-of-fold | 48 |" in page
