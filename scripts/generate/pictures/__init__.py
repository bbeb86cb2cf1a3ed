"""Pictures of the documentation, drawn as SVG for light and dark pages."""
