"""Labelled scenes: found, paired, split, measured, cut into chips."""
