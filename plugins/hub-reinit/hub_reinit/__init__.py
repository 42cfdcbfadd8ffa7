"""Where training starts from for hub-core: heads, poolers and top layers drawn anew or computed."""

__version__ = "0.1.0"
