"""An embedded Hub for hub-core: repositories of models for teams without internet."""

__version__ = "0.1.0"
