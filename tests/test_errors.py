import inspect

import pytest

from builder import errors
from builder.errors import DeepDialogueError, ItemError, nearest

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


def test_every_error_is_of_the_project_and_stands_in_the_tree():
    for kind in ALL:
        assert issubclass(kind, DeepDialogueError)
        assert kind.__name__ in errors.__doc__


def test_every_failure_of_an_item_has_a_boundary_of_its_own():
    boundaries = {
        kind: kind.boundary for kind in ALL if issubclass(kind, ItemError) and kind is not ItemError
    }
    assert len(set(boundaries.values())) == len(boundaries) == 6
    for kind, boundary in boundaries.items():
        assert kind.__name__ == f"{boundary.capitalize()}Error"
        assert f'boundary "{boundary}"' in errors.__doc__


@pytest.mark.parametrize(
    ("name", "known", "repair"),
    [
        ("hapy", ["sad", "happy"], "did you mean 'happy'?"),
        ("xyz", ["sad", "happy"], "known: 'happy', 'sad'"),
        ("xyz", [], "none is known"),
    ],
)
def test_a_misspelt_name_is_answered_with_its_repair(name, known, repair):
    assert nearest(name, known) == repair
    assert nearest(name, iter(known)) == repair
