"""The embedded cluster: upstream control plane, simulated nodes, and stand-ins for what has no image here."""
