"""Which of the pre-trained weights train: the basic tuning strategies for hub-core."""

__version__ = "0.1.0"
