"""Pure, array-first formulas, one subject a file.

Every function takes keyword arguments in SI, broadcasts over NumPy arrays, gives a scalar for scalars, and
knows no catalogue, no tables and no files. None checks its input: questions are checked where they are
asked, in `roofline_afd.serving`. The docstrings are the formula reference that `explain` and
`docs/formulas.md` print; what several formulas mean by a symbol stands in `nomenclature`.
"""
