"""Benchmarks of speed and memory, with a plain SDK tap and a lower bound for comparison."""
