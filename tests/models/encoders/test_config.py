"""One reader for config.json of every family."""

import pydantic
import pytest

from serjax.models.encoders.config import OWN, EncoderConfig, from_dict, preset
from serjax.models.encoders.families import FAMILIES
from serjax.runtime.errors import UserError


def test_model_type_must_be_said():
    with pytest.raises(UserError, match="model_type is missing"):
        from_dict({"hidden_size": 768}, "config.json")


@pytest.mark.parametrize(("given", "told"), [({"model_type": "moonshine2"}, "'moonshine2'"), ({}, "missing")])
def test_code_that_comes_with_a_checkpoint_is_named_and_not_run(given, told):
    with pytest.raises(UserError) as raised:
        from_dict(given | {"auto_map": {"AutoModel": "modeling_x.Model"}}, "x/config.json")
    assert str(raised.value) == (
        f"x/config.json: model_type is {told}, whose code comes with it (auto_map) and is never run; serjax has "
        f"{', '.join(FAMILIES)}; give such a checkpoint."
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_class_is_that_of_the_family_also_in_a_run(family):
    config = preset(family, "base")
    assert type(config).__module__ == f"serjax.models.encoders.{FAMILIES[family].layout}_config"
    assert from_dict(config.to_dict() | {"model_type": OWN + family}, "config.json") == config
    adapter = pydantic.TypeAdapter(EncoderConfig)
    assert adapter.validate_json(adapter.dump_json(config)) == config


def test_a_size_that_a_family_lacks_is_refused():
    assert preset("whisper", "medium").hidden_size == 1024
    with pytest.raises(UserError, match=r"size medium: wavlm has no such size; there are tiny, small, base, large\."):
        preset("wavlm", "medium")
