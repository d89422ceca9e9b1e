"""Threads of torch are lent for a fit and given back."""

import pytest
import torch
from threadpoolctl import threadpool_info

from unisono.device import one_thread


def test_one_thread_is_lent_and_given_back_even_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError, match="1"), one_thread():
            raise KeyError(torch.get_num_threads())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_linear_algebra_has_one_thread_inside_and_what_it_had_afterwards():
    def counts() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info()]

    before = counts()
    with one_thread():
        assert set(counts()) == {1}
    assert counts() == before
