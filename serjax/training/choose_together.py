"""The choice whether folds train in one computation or one after the other."""

from typing import Literal


def choose_together(wish: Literal["auto", "yes", "no"], *, backend: str, frozen_encoder: bool) -> tuple[bool, str]:
    """Decide whether folds train in one vmapped computation, and say why in a sentence.

    The rule rests on benchmarks/folds_together.py and not on a timing of this very run: a choice that hung on the
    machine's mood would let the same seed give other numbers.
    """
    if wish != "auto":
        return wish == "yes", f"folds.together={wish}: as asked."
    if frozen_encoder:
        return True, "folds train together: only heads are trained, and one step serves them all."
    if backend == "cpu":
        return False, "folds train one after the other: on a CPU a trained encoder is faster so."
    return True, f"folds train together: one {backend} step keeps the device busier than several small ones."
