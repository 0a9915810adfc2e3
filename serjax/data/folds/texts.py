"""Sentences kept apart: folds that train on no sentence that they test."""

from collections.abc import Sequence

from serjax.data.folds.fold import Fold
from serjax.data.folds.splits import deal
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of

_KEPT = 0.5
"""Share of a fold's training clips that must be left, or else test parts are divided by their sentences."""


def keep_texts_apart(
    folds: Sequence[Fold], utterances: Sequence[Utterance], groups: int | None, seed: int
) -> tuple[Fold, ...]:
    """Return folds without training and validation clips whose sentence is tested.

    Where speakers say the same sentences, hardly a training clip would be left. Sentences are then dealt to groups, and
    each fold becomes one fold a group, which tests the sentences of that group alone: every clip is still tested once.

    Args:
        folds: to begin with; a validation part that equals the test part stays so.
        utterances: the clips.
        groups: number of groups; None: one, or two where one would leave a fold without a class or less than half of
            its training clips.
        seed: decides the groups.

    Raises:
        UserError: a clip without a sentence, fewer sentences than groups, or nothing left to train on.
    """
    texts = _require_texts(utterances)
    found = len(set(texts))
    if found < (groups or 2):
        raise UserError(
            f"--folds.disjoint text: {groups or 2} groups of sentences are to be kept apart, but all clips are of "
            f"{found}; leave it out{', or lower --folds.text-groups' if found > 1 else ''}."
        )
    if groups is None:
        together = tuple(_without_tested(fold, fold.test, fold.number, texts) for fold in folds)
        if all(_can_be_trained(before, after, utterances) for before, after in zip(folds, together, strict=True)):
            return together
        groups = 2
    group_of = [0] * len(texts)
    for group, clips in enumerate(deal(utterances, texts, groups, seed) if groups > 1 else ()):
        for i in clips:
            group_of[i] = group
    divided: list[Fold] = []
    for fold in folds:
        for group in range(groups):
            test = tuple(i for i in fold.test if group_of[i] == group)
            if test:
                divided.append(_without_tested(fold, test, len(divided) + 1 if groups > 1 else fold.number, texts))
    for fold in divided:
        if not fold.train:
            raise UserError(
                f"--folds.disjoint text: nothing is left that fold {fold.number} could train on without its own "
                f"sentences; give more --folds.text-groups than {groups}."
            )
    return tuple(divided)


def check_texts(folds: Sequence[Fold], utterances: Sequence[Utterance]) -> str:
    """Return a sentence on how many clips folds leave out to keep sentences apart.

    Raises:
        UserError: a sentence that is tested is trained on, or watched by early stopping beside the test part.
    """
    left_out = []
    for fold in folds:
        tested = {utterances[i].text for i in fold.test}
        others = {"train": fold.train, "validation": () if fold.validation == fold.test else fold.validation}
        for name, part in others.items():
            shared = sorted({str(utterances[i].text) for i in part if utterances[i].text in tested})
            if shared:
                raise UserError(
                    f"fold {fold.number}: {len(shared)} sentences ({one_of(shared)}) are in its {name} part and in its "
                    "test part; let folds be made with --folds.disjoint text, or leave that out."
                )
        left_out.append(len(utterances) - len({*fold.train, *fold.validation, *fold.test}))
    least, most = min(left_out), max(left_out)
    number = str(most) if least == most else f"{least} to {most}"
    return (
        f"No sentence that a fold tests is in its training: each of {len(folds)} folds leaves out {number} of "
        f"{len(utterances)} clips, since their sentence or speaker is tested."
    )


def _require_texts(utterances: Sequence[Utterance]) -> list[str]:
    texts = [clip.text for clip in utterances if clip.text is not None]
    if len(texts) < len(utterances):
        unknown = [clip.id for clip in utterances if clip.text is None]
        raise UserError(
            f"--folds.disjoint text: {len(unknown)} of {len(utterances)} clips have no sentence ({one_of(unknown)}); "
            "give a list with a column of sentences or their codes (--data.columns text=COLUMN), or leave it out."
        )
    return texts


def _without_tested(fold: Fold, test: tuple[int, ...], number: int, texts: Sequence[str]) -> Fold:
    tested = {texts[i] for i in test}
    train, validation = (tuple(i for i in part if texts[i] not in tested) for part in (fold.train, fold.validation))
    return Fold(number, train, test if fold.validation == fold.test else validation, test)


def _can_be_trained(before: Fold, after: Fold, utterances: Sequence[Utterance]) -> bool:
    """Return whether enough is left of the training part, and every class that it had."""
    labels = [{utterances[i].label for i in fold.train} for fold in (before, after)]
    return len(after.train) >= _KEPT * len(before.train) and labels[0] == labels[1]
