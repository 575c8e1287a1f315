"""From a checkpoint and a scene to a map."""
