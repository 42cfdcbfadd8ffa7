"""Quantizing keeps what every compressor keeps, and costs next to nothing in accuracy."""

from hub_core.testing import CompressorTests


class TestQuantizeInt8(CompressorTests):
    method = "hub-quantize:quantize-int8"
    cases = ({}, {"per_channel": False})
    tolerance = 0.02
