"""From components to numbers that are published: correlations, and structural models judged by I_FF."""
