"""`python -m secondread`."""

from secondread.cli import main

main()
