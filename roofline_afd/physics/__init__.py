"""Pure, array-first formulas, one subject a file. Knows no catalogue, no tables, no files."""
