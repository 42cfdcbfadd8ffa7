"""The calibration error is Guo's: by hand, at the ends of bins, and over many predictions."""

from itertools import pairwise

import numpy as np
import pytest

from hub_classification.calibration import BINS, calibration_error


def test_a_small_example_is_the_one_by_hand():
    """Bins 15, 15, 11 and 9: gaps of (0.95 + 0.94 - 1), 0.3 and 0.4."""
    found = calibration_error([0.95, 0.94, 0.7, 0.6], [True, False, True, True])
    assert found == pytest.approx((0.89 + 0.3 + 0.4) / 4)


def test_probabilities_that_are_right_as_often_as_they_say_have_no_error():
    assert calibration_error([0.75] * 4, [True, True, True, False]) == 0
    assert calibration_error([1.0, 1.0], [True, True]) == 0


def test_errors_of_one_bin_make_up_for_each_other_and_those_of_two_do_not():
    assert calibration_error([0.81, 0.85], [True, False]) == pytest.approx(0.66 / 2)
    assert calibration_error([0.5, 0.9], [True, False]) == pytest.approx(0.7)


def test_the_upper_end_belongs_to_a_bin():
    third = 5 / 15
    assert calibration_error([third, third - 0.01], [True, False]) == pytest.approx(
        abs(2 * third - 0.01 - 1) / 2
    )
    assert calibration_error([0.0], [False]) == 0


def test_many_predictions_give_what_histograms_give():
    chance = np.random.default_rng(4)
    probabilities = chance.uniform(0.2, 1, 500)
    right = chance.uniform(size=500) < probabilities**2
    edges = np.linspace(0, 1, BINS + 1)
    error = 0.0
    for low, high in pairwise(edges):
        inside = (probabilities > low) & (probabilities <= high)
        if inside.any():
            error += inside.mean() * abs(probabilities[inside].mean() - right[inside].mean())
    assert calibration_error(probabilities.tolist(), right.tolist()) == pytest.approx(error)
