"""Experiments of serjax.pretrain."""
