"""From a map and a reference to figures and a page."""
