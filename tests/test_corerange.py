"""Ranges of hub-core mean what ``packaging`` says that they mean."""

import itertools

import pytest
from packaging.requirements import Requirement

from hub_core import corerange
from hub_core.corerange import refusal

RANGES = ["", ">=0.1", "<0.2", ">=0.1,<0.2", ">=0.1.0, <1", "<=0.1", ">0.1", ">0", "<0.1.0.0",
          "==0.1.*", "~=0.1", "!=0.1.0", ">=1.0,<2", "<=1", ">=0.10", "(>=0.1,<2)"]  # fmt: skip
VERSIONS = ["0.1.0", "0.1.1", "0.2.0", "0.10", "1.0.0", "1.0.1", "2.0", "0.2.0rc1", "1.0.dev3"]


@pytest.mark.parametrize(("wanted", "version"), itertools.product(RANGES, VERSIONS))
def test_a_range_holds_the_versions_that_packaging_says(monkeypatch, wanted, version):
    monkeypatch.setattr(corerange, "__version__", version)
    specifier = Requirement(f"hub-core {wanted}").specifier
    holds = specifier.contains(version, prereleases=True)
    expected = "" if holds else f"it needs hub-core {specifier}, this is {version}"
    assert refusal([f"hub-core{wanted}"]) == refusal([f"Hub_Core {wanted}"]) == expected


def test_every_requirement_counts_that_applies_and_is_about_the_core():
    assert refusal([]) == refusal(["click>=99", "hub-core-more>=99", "hub-coreutils>=99"]) == ""
    assert refusal(["hub-core>=99; python_version < '3'", "hub-core>=99; extra == 'x'"]) == ""
    assert refusal(["hub-core>=0.0.1", "hub-core<0.0.2"]).startswith("it needs hub-core <0.0.2, ")


@pytest.mark.parametrize("text", ["hub-core >== 1", "hub-core >=", "hub-core >=1,,<2"])
def test_what_cannot_be_read_is_an_error(text):
    with pytest.raises(ValueError, match="hub-core"):
        refusal([text])
