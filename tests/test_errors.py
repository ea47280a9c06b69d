"""The tree of errors: what crosses from one process to another stays what it was."""

from __future__ import annotations

import pickle

import pytest

from samloop import errors


def tree(root: type[errors.SamloopError]) -> list[type[errors.SamloopError]]:
    return [root, *(found for child in root.__subclasses__() for found in tree(child))]


@pytest.mark.parametrize("kind", [kind for kind in tree(errors.SamloopError) if kind.__module__ == errors.__name__])
def test_an_error_survives_its_way_to_another_process(kind: type[errors.SamloopError]) -> None:
    error = kind("mlx", "training on MLX") if kind is errors.MissingExtraError else kind("what, where and the remedy")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), vars(again)) == (str(error), vars(error))
