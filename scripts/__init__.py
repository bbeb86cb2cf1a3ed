"""Scripts that generate files and check a release."""
