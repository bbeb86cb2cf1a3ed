"""What several tests and the demo share."""
