"""From labelled satellite images to georeferenced maps with honest accuracy figures."""

__version__ = "0.1.0"
