"""What the tap costs: benchmarks against a simulated service, a plain SDK tap and a floor."""
