import pytest

from serjax.models.adapter_config import AdapterConfig, layer_of, named
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.config import preset
from serjax.models.speech import Speech
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError

REFUSED = [
    (AdapterConfig(kind="lora", rank=0), r"adapter\.rank is 0; it must be 1 or more\.$"),
    (AdapterConfig(kind="lora", alpha=0.0), r"adapter\.alpha is 0\.0; it must be above 0\.$"),
    (AdapterConfig(rank=8), r"adapter\.rank is given, but the adapter \(model\.adapter\.kind\) is none, which does"),
    (AdapterConfig(encode_once=True), r"adapter\.encode_once is given, but the adapter .* is none"),
    (AdapterConfig(kind="ia3", rank=8), r"adapter\.rank is given, but the adapter .* is ia3"),
    (AdapterConfig(kind="lora", feedforward="fc2"), r"adapter\.feedforward is given, but the adapter .* is lora"),
    (AdapterConfig(checkpoint="peft", rank=8), r"adapter\.rank is given, but the adapter .* is that of a checkpoint"),
    (AdapterConfig(kind="lora", checkpoint="peft"), r"kind is lora, but an adapter from .*checkpoint has its own"),
    (AdapterConfig(kind="lora", targets="q_proj("), r"targets is 'q_proj\(', which is no regular expression"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        validate(Speech(adapter=settings))


@pytest.mark.parametrize(
    "settings", [AdapterConfig(), AdapterConfig(kind="lora", rank=4), AdapterConfig(checkpoint="peft", dropout=0.1)]
)
def test_settings_that_mean_something_are_not(settings):
    validate(Speech(adapter=settings))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Speech(freeze="cnn", adapter=AdapterConfig(kind="lora")), "freeze is cnn, but with model.adapter all of the"),
        (
            Speech(layer=3, adapter=AdapterConfig(checkpoint="peft")),
            "layer is 3, but an adapter from model.adapter.check",
        ),
        (Speech(mask_time_prob=0.1, adapter=AdapterConfig(kind="lora", encode_once=True)), "but SpecAugment"),
    ],
)
def test_a_model_that_cannot_be_is_refused(model, message):
    with pytest.raises(UserError, match=message):
        validate(model)


@pytest.mark.parametrize("family", ["sew", "wav2vec2-conformer", "whisper"])
def test_stored_states_are_refused_where_layers_hear_padding(family):
    model = Speech(padding="transformers", adapter=AdapterConfig(kind="lora", encode_once=True))
    with pytest.raises(UserError, match=rf"with model\.padding transformers the layers of {family} hear what follows"):
        model.resolved(Resolution(1.0, EncoderLayout(preset(family, "tiny"))))


def test_a_pattern_is_of_the_whole_name_or_of_its_end():
    name = "encoder.layers.3.attention.q_proj"
    assert all(named(one, name) for one in ("q_proj", "k_proj|q_proj", r"layers\.3\..*", name, r".*proj"))
    assert not any(named(one, name) for one in ("proj", "q_pro", "attention", r"layers\.4\..*"))


def test_layers_are_numbered_by_their_names():
    assert layer_of("encoder.layers.11.feed_forward.output_dense") == 11
    assert layer_of("encoder.pos_conv_embed.layers.2.conv") is None
    assert layer_of("feature_projection.projection") is None


def test_single_layers_may_have_their_own_rank_and_scale():
    settings = AdapterConfig(
        kind="lora", rank=4, alpha=8.0, rank_pattern=(("k_proj", 16),), alpha_pattern=((r"layers\.0\..*", 32.0),)
    )
    assert [settings.scale_of(f"layers.{one}") for one in ("0.q_proj", "1.q_proj", "1.k_proj")] == [8.0, 2.0, 0.5]
    assert AdapterConfig(kind="lora", rank=4, alpha=8.0, rslora=True).scale_of("q_proj") == 4.0


def test_adapters_alone_are_trained():
    model = Speech(adapter=AdapterConfig(kind="lora"))
    assert (model.frozen, model.pretrained, model.two_stages) == ("all but adapters", False, True)
    assert model.heads_only() == Speech(freeze="encoder")
