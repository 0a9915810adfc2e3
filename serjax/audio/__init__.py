"""Sound: decoding, silence, augmentation, spectrograms and hand-made features, at 16 kHz."""

SAMPLE_RATE = 16_000
"""Hz. Every clip is decoded to this rate: it is what all published speech encoders were trained at."""
