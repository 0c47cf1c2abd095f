"""`python -m roofline_afd` is `roofline-afd`."""

from roofline_afd.cli import main

main()
