"""Wires adapters to the core for each command: what to read, what to ask, which form to answer in."""
