"""Pictures of the documentation, drawn as SVG for light and dark pages.

The demo writes its own pictures: `python -m examples.demo --svg`.
"""
