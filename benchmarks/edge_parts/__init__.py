"""The parts of `python -m benchmarks.edge`: what the agent costs in a car, one concern a file."""
