"""`python -m dr` is `dr`."""

from dr.cli import main

main()
