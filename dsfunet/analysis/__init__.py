"""From components to numbers that are published: correlations, and models judged by I_FF. No torch in here."""
