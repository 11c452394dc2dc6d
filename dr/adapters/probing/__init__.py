"""Probes in a process of their own, so that nothing else that `dr` does delays a question."""

from dr.adapters.probing.prober import Prober

__all__ = ["Prober"]
