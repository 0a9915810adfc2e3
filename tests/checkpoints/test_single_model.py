"""Names of outputs, and how scores are made of logits, as config.json says."""

import pytest
from saved_runs import ENCODER, LABELS

from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.checkpoints.single_model import labels_of, problem_type, refuse_layer_sum
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"id2label": None, "label2id": {"b": 1, "a": 0, "c": 2}}, ("a", "b", "c")),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "label2id": {"a": 0, "b": 1, "c": 2}}, "abc"),
        ({"label2id": {"angry": "0", "happy": 1, "sad": 2}}, LABELS),
        ({"label2id": {"angry": 1, "happy": 0, "sad": 2}}, "label2id happy, angry, sad; correct the wrong one"),
        ({"id2label": {"0": "a", "1": "b", "2": "a"}}, "calls several outputs a; give each a name"),
        ({"id2label": None, "label2id": {"a": 0, "b": 0, "c": 2}}, r"label2id names the outputs \[0, 0, 2\]"),
        (
            {"id2label": {"0": "Angry", "1": "angry ", "2": "b"}},
            "calls several outputs Angry, angry ; give each a name",
        ),
        ({"id2label": {"0": "\x1b[2J", "1": "a", "2": "b"}}, r"\\x1b\[2J is no name; correct it"),
        ({"id2label": {"0": " ", "1": "a", "2": "b"}}, "id2label must map numbers to names;   is no name"),
        ({"id2label": {"0": None, "1": "a", "2": "b"}}, "None is no name"),
        ({"id2label": None, "label2id": {"a": 0, "b": 1.5, "c": 2}}, "1.5 is the number of no output"),
        ({"id2label": None, "label2id": {"a": 0, "b": True, "c": 2}}, "True is the number of no output"),
    ],
)
def test_names_come_from_both_tables_of_config_json(settings, expected):
    checkpoint = Checkpoint("here", {"id2label": dict(enumerate(LABELS)), **settings}, ENCODER, Preprocessor(), {}, ())
    if len(expected) == 3:
        assert labels_of(checkpoint, 3) == tuple(expected)
    else:
        with pytest.raises(UserError, match=expected):
            labels_of(checkpoint, 3)


def test_scores_are_made_as_the_problem_type_says():
    def of(**settings):
        return problem_type(Checkpoint("here", settings, ENCODER, Preprocessor(), {}, ()), "regression")

    assert of() == of(problem_type=None) == "identity"
    assert of(problem_type="multi_label_classification") == "sigmoid"
    with pytest.raises(UserError, match=r"here/config\.json: problem_type is 'ranking'; serjax knows single_label"):
        of(problem_type="ranking")


def test_a_sum_of_layers_is_refused_where_there_is_none():
    checkpoint = Checkpoint("here", {}, ENCODER, Preprocessor(), {}, ())
    refuse_layer_sum(checkpoint, None)
    with pytest.raises(UserError, match="--layer-sum 4: here has no weighted sum of layers to which it matters"):
        refuse_layer_sum(checkpoint, "4")
