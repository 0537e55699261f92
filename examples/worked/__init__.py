"""Worked examples: three crystals whose truth is known, from the measured plane to numbers with error bars."""
