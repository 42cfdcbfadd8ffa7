"""The heads over a pooled text keep what every head keeps."""

from hub_core.testing import HeadTests


class TestClassification(HeadTests):
    method = "hub-classification:classification"
    cases = ({}, {"pooling": "first", "dropout": 0.3}, {"class_weights": "balanced"})


class TestMultiLabel(HeadTests):
    method = "hub-classification:multi-label"
    cases = ({}, {"pooling": "max", "threshold": 0.8})


class TestRegression(HeadTests):
    method = "hub-classification:regression"
    cases = ({}, {"pooling": "last"})
