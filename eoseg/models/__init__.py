"""Networks: raw pixel values in, logits out. Torch only, no files, no Lightning."""
