"""Random storms: many runs of the tap against a faulty or changing service, from a seed."""
