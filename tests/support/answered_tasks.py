"""Made-up answers for tasks of each kind."""

import numpy as np

from serjax.evaluation.task_answers import TaskAnswers
from serjax.evaluation.tasks import Task

AVD = Task("avd", "dimensions", ("arousal", "valence"), ((1, 7), (1, 7)))
SOFT = Task("emotion", "soft", ("a", "b", "c"))
LABELS = Task("labels", "multilabel", ("a", "b", "c"))


def answers(task, noise=0.1, seed=0, clips=48):
    rng = np.random.default_rng(3)
    if task.kind == "dimensions":
        truth = rng.uniform(size=(clips, 2))
    elif task.kind == "soft":
        truth = rng.dirichlet(np.ones(3), clips)
    else:
        truth = (rng.random((clips, 3)) > 0.5).astype(float)
    other = np.random.default_rng(seed).uniform(size=truth.shape)
    answer = (1 - noise) * truth + noise * other
    if task.kind == "soft":
        answer /= answer.sum(1, keepdims=True)
    speakers = tuple(f"s{clip % 6}" for clip in range(clips))
    return TaskAnswers(task, tuple(map(str, range(clips))), np.arange(clips) % 3 + 1, truth, answer, speakers)
