"""Measurement artefacts: detector gaps, shadows and masks; background, Bragg residue and counting noise."""
