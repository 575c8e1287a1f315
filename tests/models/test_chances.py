"""Logits of probabilities."""

import torch

from eoseg.models.chances import class_logits, label_logits


def test_softmax_of_logits_gives_the_probabilities() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]])
    logits = class_logits(probabilities)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.softmax(dim=1), probabilities, rtol=0, atol=1e-6)


def test_sigmoid_of_log_odds_gives_the_probabilities() -> None:
    probabilities = torch.tensor([0.0, 0.3, 0.5, 1.0])
    logits = label_logits(probabilities)
    assert logits.isfinite().all()
    assert logits[2] == 0
    torch.testing.assert_close(logits.sigmoid(), probabilities, rtol=0, atol=1e-6)
