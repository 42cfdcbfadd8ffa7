"""Several tasks on one backbone for hub-core: sampling, loss weights, gradient surgery, fusion."""

__version__ = "0.1.0"
