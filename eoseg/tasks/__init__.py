"""LightningModules: logits, loss, metrics, optimiser. They never read files."""
