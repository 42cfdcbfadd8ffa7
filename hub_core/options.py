"""The base of every method's options: a frozen pydantic model that refuses unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of one method; every field has a default, bounds and a description.

    A field without a default must be given by the user, such as a backbone's model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class NoOptions(Options):
    """For methods that have nothing to set."""
