"""A small EfficientNet."""

from serjax.models.networks.efficientnet import EfficientNetConfig

TINY = EfficientNetConfig(
    num_channels=1,
    width_coefficient=0.25,
    kernel_sizes=(3, 5),
    in_channels=(32, 32),
    out_channels=(32, 64),
    strides=(1, 2),
    num_block_repeats=(1, 2),
    expand_ratios=(1, 2),
    hidden_dim=320,
    batch_norm_momentum=0.0,
    drop_connect_rate=0.0,
)
