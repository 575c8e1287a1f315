"""A run folder in; one page, and a model card, out."""
