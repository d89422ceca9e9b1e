"""Assertions of the suite can fail, and compare computed floats with a tolerance: the sources of the tests are read."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from unisono import metrics

_NUMPY = {"mean", "std", "var", "median", "nanmean", "quantile", "norm", "corrcoef", "exp", "log", "sqrt"}
_FLOATS = _NUMPY | set(metrics.__all__)
"""Functions and methods whose values are computed floats."""


def sources() -> dict[str, str]:
    """The text of each file of tests, by its name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("test_*.py"))}


def offenders(find: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """What is found in each file that has any of it."""
    found = {name: find(source) for name, source in sources().items()}
    return {name: places for name, places in found.items() if places}


def empty_assertions(source: str) -> list[str]:
    """Assertions in a test that cannot fail: of a constant, or of a thing and itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assert):
            continue
        test = node.test
        is_constant = isinstance(test, ast.Constant) or (isinstance(test, ast.Tuple) and bool(test.elts))
        is_plain = not any(isinstance(part, ast.Call) for part in ast.walk(test))  # a call twice may differ
        is_same = isinstance(test, ast.Compare) and ast.unparse(test.left) == ast.unparse(test.comparators[0])
        if is_constant or (is_same and is_plain):
            found.append(ast.unparse(node))
    return found


def asserting_nothing(source: str) -> list[str]:
    """Tests that assert nothing: no assert, no `pytest.raises`, no call of an assertion or refusal."""
    asks = ("assert", "raises", "warns", "refus", "check", "close")
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            calls = {ast.unparse(call.func).split(".")[-1] for call in ast.walk(node) if isinstance(call, ast.Call)}
            is_asking = any(word in name for name in calls for word in asks)
            if not is_asking and not any(isinstance(part, ast.Assert) for part in ast.walk(node)):
                found.append(node.name)
    return found


def bare_comparisons(source: str) -> list[str]:
    """Assertions that two computed values are in order or equal, without the slack that rounding needs.

    `<=` and `>=` need a constant on one side, sets, or arithmetic with a float constant, such as `x <= y + 1e-6`.
    `==` needs `approx` where a side calls a function of floats and the other is no constant.
    """
    asserts = (node.test for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert))
    compares = (node for test in asserts for node in ast.walk(test) if isinstance(node, ast.Compare))
    return [ast.unparse(compare) for compare in compares if any(map(_is_bare, *_sides(compare)))]


def _sides(compare: ast.Compare) -> tuple[list[ast.cmpop], list[ast.expr], list[ast.expr]]:
    return compare.ops, [compare.left, *compare.comparators[:-1]], compare.comparators


def _is_bare(operator: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
    if not (_is_computed(left) and _is_computed(right)):
        return False
    if isinstance(operator, ast.LtE | ast.GtE):
        return not any(_is_set(side) or _has_slack(side) for side in (left, right))
    is_approximate = any("approx" in _calls(side) for side in (left, right))
    return isinstance(operator, ast.Eq) and not is_approximate and bool(_outer_calls(left, right) & _FLOATS)


def _is_computed(side: ast.expr) -> bool:
    return any(isinstance(node, ast.Name | ast.Call) for node in ast.walk(side))


def _is_set(side: ast.expr) -> bool:
    return any(isinstance(node, ast.Set | ast.SetComp) for node in ast.walk(side)) or "set" in _calls(side)


def _has_slack(side: ast.expr) -> bool:
    parts = (part for node in ast.walk(side) if isinstance(node, ast.BinOp) for part in (node.left, node.right))
    return any(isinstance(part, ast.Constant) and isinstance(part.value, float) for part in parts)


def _calls(side: ast.expr) -> set[str]:
    return {ast.unparse(node.func).split(".")[-1] for node in ast.walk(side) if isinstance(node, ast.Call)}


def _outer_calls(*sides: ast.expr) -> set[str]:
    """Names of the functions whose very value a side is."""
    return {ast.unparse(side.func).split(".")[-1] for side in sides if isinstance(side, ast.Call)}


def test_every_test_can_fail():
    assert len(sources()) > 80
    assert offenders(empty_assertions) == {}
    assert offenders(asserting_nothing) == {}


def test_computed_floats_are_compared_with_a_tolerance():
    assert offenders(bare_comparisons) == {}


def test_a_test_that_cannot_fail_is_caught():
    assert empty_assertions("def test_a():\n    assert True\n    assert (x, 'said')\n    assert a.b == a.b\n") == [
        "assert True",
        "assert (x, 'said')",
        "assert a.b == a.b",
    ]
    assert empty_assertions("assert x == y") == []
    assert asserting_nothing("def test_a():\n    fit(x)\n\ndef test_b():\n    assert x\n") == ["test_a"]


def test_a_comparison_without_tolerance_is_caught_and_one_that_needs_none_is_not():
    bare = ["tuned <= fixed", "0 < a.b <= f(x)", "rmse(x, y) == rmse(y, x)", "x.mean() == total / n", "log(2.0) == y"]
    sound = [
        "x <= 1.0",
        "x <= y + 1e-06",
        "{'a'} <= names",
        "set(a) >= b",
        "rmse(x, y) == approx(rmse(y, x))",
        "rmse(x, x) == 0.0",
        "len(x) == n",
        "pearson(x, y).shape == y.shape",
        "x < y",
    ]
    assert bare_comparisons("\n".join(f"assert {test}" for test in bare)) == bare
    assert bare_comparisons("\n".join(f"assert {test}" for test in sound)) == []
