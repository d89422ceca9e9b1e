"""A style book knows its batches by name and has an average without offset."""

import numpy as np
import pytest

from unisono.inference.predictor import StyleBook


@pytest.fixture
def book():
    rng = np.random.default_rng(0)
    latents, offsets, average = (rng.normal(size=s).astype(np.float32) for s in ((3, 2, 5), (3, 7), (2, 5)))
    return StyleBook(np.array(["p", "q", "r"]), latents, offsets, average)


@pytest.mark.parametrize(("name", "place"), [("p", 0), ("q", 1), ("r", 2)])
def test_a_batch_has_its_own_latent_and_offset(book, name, place):
    style = book.of_batch(name)
    np.testing.assert_array_equal(style.latent, book.latents[place])
    np.testing.assert_array_equal(style.offset, book.offsets[place])


def test_the_average_has_its_own_latent_and_no_offset(book):
    np.testing.assert_array_equal(book.average.latent, book.average_latent)
    np.testing.assert_array_equal(book.average.offset, np.zeros(7))


def test_an_unknown_batch_is_refused(book):
    with pytest.raises(KeyError, match="s"):
        book.of_batch("s")
