"""Three disordered crystals from the parameters put in to the parameters that come out: `python -m examples.worked`.

molecule.py builds the tricarboxamide, crystals.py the three crystals and what a detector sees of them, recovery.py
finds their correlations again over many noise seeds, torsion.py a molecular angle, figures.py and report.py show it.
"""
