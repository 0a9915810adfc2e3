"""The steps of pretraining: what is heard, labels of its frames, masked prediction, and alignment with emotion."""
