"""The head keeps what every head keeps."""

from hub_core.testing import HeadTests


class TestAttentionClassification(HeadTests):
    method = "hub-attention:attention-classification"
    cases = (
        {"hops": 2, "orthogonality": 0.1},
        {"pooling": "multi-head", "mix": True},
        {"pooling": "additive", "class_weights": "balanced"},
    )
