"""The config determines the fit: no number that shapes a model stands elsewhere, and each field says why it is so."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from model_fixtures import small_model, training

import unisono as un
from unisono import config as config_module
from unisono import modalities
from unisono.config import FitConfig
from unisono.modalities import RNA, resolved

ROOT = Path(un.__file__).parent
ROOMS = ("nn", "preprocessing", "matching", "inference", "training", "modalities", "uncertainty")
"""Where a model is fitted and used."""

OF_FORMULAS = {0, 1, 2, 0.5}
"""Numbers, and their negatives, that formulas and code are full of."""

ALLOWED = {
    "bounds against division by zero or log of zero, far below what is measured": {
        ("_EPSILON", 1e-5), ("_LOG_VAR_OF_NONE", 60.0), ("_MIN_VALUE", 1e-4), ("_MIN_FRACTION", 1e-4),
        ("_MIN_COUNT", 1e-6), ("_MIN_MASS", 1e-6), ("_SMALLEST", 1e-300), ("n_seen", 1e-4),
        ("_SMALLEST", 1e-12), ("_MIN_SHARE", 1e-9), ("_MIN_NOISE", 1e-6), ("_MIN_SIGNAL", 1e-3), ("clr", 1e-12),
        ("_MAX_FRACTION", 1e-6), ("code_weight", 1e-9), ("_MIN_DEVIATION", 1e-3), ("_MIN_DEPTH_DEVIATION", 0.1),
        ("gene_weight", 1e-3), ("_regress", 1e-6), ("standardise_depth", 1e-9), ("cost_against", 1e-6),
        *((name, 1e-12) for name in (
            "_shrunken", "_inverse_root", "_balanced", "_unit", "_follows_depth", "_regress",
            "loo_shrinkage", "shrinkage_factor", "scale", "bernoulli_loss", "_gaussian", "fit", "rescaled",
            "left_out_error", "scaled_to")),
        *((name, 1e-6) for name in ("fit", "_z_scored")),
    },
    "where exp(x) - 1 is exp(x) in single precision": {("_LINEAR_FROM", 20.0)},
    "bits and odd factors of a hash": {
        ("sample", 64), *(("_MIXING", x) for x in (30, 0xBF58476D1CE4E5B9, 27, 0x94D049BB133111EB)),
    },
    "rounding": {("_factor", 1e-9), ("_order_statistics", 1e-9), ("_DIGITS", 12)},
    "when a feature of a batch was not measured, which is told as data are read, whatever the config": {
        ("MAX_CHANCE", 1e-3), ("_MIN_VARIANCE", 0.02), ("_USUAL_VARIANCE", 0.3), ("_PRIOR_EXPECTED", 20.0),
        ("_MIN_EXPECTED", 5.0),
        *(("_LEVELS", x) for x in (0.1, 0.01, 1e-3, 1e-4)),
        ("_SLACK", 4.0), ("_MAX_TAIL", 1e-6), ("_N_CODES", 10), ("_N_NEAREST", 5), ("_MAX_CELLS", 2000),
        ("_MIN_SHARED", 0.8),
    },
    "when an iteration or a search ends, and where it starts": {
        ("_MAX_STEPS", 50), ("_PRECISION", 1e-10), ("MAX_STEPS", 200), ("TOLERANCE", 1e-4), ("_STRIDE", 10),
        ("_ITERATIONS", 50), ("_ITERATIONS", 100),
        ("_START", 5.0), ("_POINTS_PER_DECADE", 3), ("_LOG_PRECISION", 0.05), ("_FIT_STEPS", 100), ("_search", 3),
    },
    "cells or entries at a time; the result is the same": {
        ("_CELLS_AT_A_TIME", 8192), ("_CELLS_OF_A_JACOBIAN", 512),
        ("_ROWS_AT_A_TIME", 4096), ("_ROWS_AT_A_TIME", 8192), ("_ROWS_AT_A_TIME", 1024),
        ("_BLOCK_ENTRIES", 22), ("_STRIDE", 16), ("_MARGIN", 4.0), ("_TIED", 4), ("_by_spelling", 8),
        ("_ENTRIES_AT_A_TIME", 20), ("_QUERIES_AT_A_TIME", 65_536), ("_MAX_ENTRIES", 60_000_000),
        ("_ENTRIES_AT_A_TIME", 22),
        ("_SECONDS_BETWEEN_CHECKPOINTS", 5.0),
    },
    "how long ranks wait for each other, and how they are told apart; the result is the same": {
        ("_SECONDS_TO_COME", 600.0), ("_SECONDS_OF_SILENCE", 5.0), ("_MIN_WAIT", 0.01), ("_BYTES", 4096),
        ("_cpu_ticks", 11), ("_cpu_ticks", 13), ("_digest", 8),
    },
    "the largest count that a checkpoint may say": {("_Count", 53)},
    "streams of draws": {
        ("_SEED", 29), ("_SEED", 31), ("_SEED", 37), ("_SEED", 41), ("_SEED", 67),
        ("linear_path", 23), ("_kernel", 29), ("split", 17),
        ("_train_epoch", 63), ("_train_epoch", 1_000_003), ("_folds", 47), ("_losses", 53),
        ("sample", 64), *(("_MIXING", x) for x in (30, 27, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)),
    },
    "asked of a fitted model, not of its fit": {
        ("N_CHAIN_DRAWS", 32), ("MAX_PARTNERS", 100), ("MAX_ENTRIES_PER_ROW", 1000), ("MAX_CELLS", 2000),
        ("_MAX_SAMPLED", 1024), ("_ROUGHLY", 0.01),
        ("_SAME_SET", 0.95), ("N_LEVELS", 200), ("MIN_REFERENCES", 100_000), ("_PROBES", 64), ("_SAMPLED_PER_LIST", 64),
    },
    "names in a message, digits, axes": {
        ("fingerprint", 12), ("model_rows", 12), ("state_of_run", 12), ("_MAX_TOLD", 5),
        ("style_named", 10), ("adapted", 5), ("fit_cells", 3), ("drawn_contents", 3),
    },
    "the exponent of Anscombe's residuals, 2 / 3": {("RNA", 3)},
    "the unit of a scale: counts per 10,000": {("log1p_cp10k", 1e4), ("tf_idf", 1e4), ("_log_size", 1e4)},
    "the fewest cells that have a code": {("too_small", 3)},
    "how a fit is judged, which it does not depend on": {
        ("_BEYOND", 3.0), ("_PERMUTATIONS", 30), ("_PERMUTED_CELLS", 500), ("at_chance", 12), ("_FEW", 50),
        ("_standardised", 1e-9),
        ("_chance_correlation", 43), ("_MIN_FEATURES", 5), ("_of_name", 8), ("_MIN_TOLD", 10),
    },
    "how a new batch is compared with clusters, and what a message is given for": {
        ("_MIN_VARIANCE", 1e-3), ("_STEPS", 15), ("_SEED", 61), ("ADT", 5),
        ("_MIN_DEVIATION", 1e-6), ("_MAX_FACTOR", 4.0),
    },
    "defaults of a modality, which the config of a fitted model names": {("RNA", 5000), ("ATAC", 50_000)},
}  # fmt: skip
"""Reason → what holds a number (a name of the module, or a function), and the number."""


def numbers(tree: ast.Module) -> Iterator[tuple[str, float]]:
    """Every number of a module but those of formulas, with the name or the function that holds it."""
    for statement in ast.walk(tree):
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            inner = {id(node) for child in ast.walk(statement) for node in ast.walk(child) if _opens(child, statement)}
            yield from ((statement.name, n) for n in _constants(statement, inner))
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            values = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
            pairs = zip(names, values, strict=True) if len(names) == len(values) else [(names[0], statement.value)]
            yield from ((name, n) for name, value in pairs for n in _constants(value, set()))


def _opens(node: ast.AST, outer: ast.AST) -> bool:
    return node is not outer and isinstance(node, (ast.FunctionDef, ast.ClassDef))


def _constants(node: ast.AST, skipped: set[int]) -> Iterator[float]:
    for child in ast.walk(node):
        is_number = isinstance(child, ast.Constant) and type(child.value) in (int, float)
        if is_number and id(child) not in skipped and child.value not in OF_FORMULAS:
            yield child.value


def unexplained(root: Path) -> list[str]:
    """Numbers in the rooms that are no field of the config and not on the list."""
    known = set().union(*ALLOWED.values())
    return [
        f"{path.relative_to(root)}: {name} holds {number}"
        for room in ROOMS
        for path in sorted((root / room).rglob("*.py"))
        for name, number in numbers(ast.parse(path.read_text(encoding="utf-8")))
        if (name, number) not in known
    ]


def test_no_number_that_shapes_a_model_stands_outside_the_config():
    assert unexplained(ROOT) == []


def test_every_number_on_the_list_stands_somewhere():
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    found = {pair for path in files for pair in numbers(ast.parse(path.read_text(encoding="utf-8")))}
    assert sorted(set().union(*ALLOWED.values()) - found) == []


PLANTED = {
    "a constant of a module": "RIDGE = 0.3",
    "one with a type": "RIDGE: float = 0.3",
    "one of several": "_SEED, RIDGE = 37, 0.3",
    "one in a tuple": "WEIGHTS = (0.0, 0.25, 0.5)",
    "a literal in a function": "def f(x):\n    return 0.1 * x",
    "a default of a parameter": "def f(x, ridge=0.02):\n    return x",
    "a whole number in a function": "def f(x):\n    return x[:300]",
    "a default of a field": "class C:\n    ridge: float = 0.3",
    "a literal in a method": "class C:\n    def f(self, x):\n        return min(x, 7)",
    "another value of a name on the list": "_EPSILON = 0.1",
}


def test_a_planted_number_is_caught(tmp_path):
    for i, (what, code) in enumerate(PLANTED.items()):
        path = tmp_path / str(i) / "nn" / "model.py"
        path.parent.mkdir(parents=True)
        path.write_text(code + "\n")
        assert len(unexplained(tmp_path / str(i))) == 1, what
    path.write_text("_SEED = 37\ndef f(x):\n    return 0.5 * x - 2 * x[1:]\n")
    assert unexplained(path.parents[1]) == []


def undocumented(source: str) -> list[str]:
    """Fields of a config without a measured number below them, nor a word on why there is none."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    names = {node.name for node in classes}
    found = []
    for node in classes:
        for field, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
            if not isinstance(field, ast.AnnAssign) or ast.unparse(field.annotation) in {"bool", *names}:
                continue
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            text = str(below.value.value) if is_text else ""
            if not re.search(r"\d|untested|Bounds the cost", text.replace("Untested", "untested")):
                found.append(f"{node.name}.{ast.unparse(field.target)}")
    return found


def test_each_field_says_what_was_measured_or_that_nothing_was():
    assert undocumented(Path(config_module.__file__).read_text(encoding="utf-8")) == []


def test_a_field_without_a_reason_is_caught():
    text = 'class C:\n    a: int = 1\n    b: int = 2\n    """Of b."""\n    c: int = 3\n    """Untested."""\n'
    assert undocumented(text) == ["C.a", "C.b"]


def test_the_config_of_a_model_names_every_modality_and_fits_the_same_weights_again():
    model = small_model()
    assert model.config.likelihoods == {"atac": "bernoulli", "rna": "negative_binomial", "adt": "gaussian"}
    assert model.config.max_features == {"atac": 50_000, "rna": 5000}
    config = FitConfig.model_validate_json(model.config.model_dump_json())
    again = un.fit(training(), batch_key="batch", config=config, device="cpu")
    one, other = (m.fitted.predictor.network.state_dict() for m in (model, again))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert again.config == model.config


def test_the_config_that_was_saved_is_the_one_that_was_fitted(tmp_path):
    small_model().save(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "config.json").read_text())["max_features"] == {"atac": 50_000, "rna": 5000}


def test_a_choice_of_the_user_stays_as_it_is():
    config = FitConfig(max_features={"rna": 11}, likelihoods={"adt": "negative_binomial"})
    found = resolved(config, {"rna": 83, "adt": 17})
    assert found.max_features == {"rna": 11}
    assert found.likelihoods == {"rna": "negative_binomial", "adt": "negative_binomial"}


def test_a_modality_without_limit_gets_the_number_of_its_features(monkeypatch):
    monkeypatch.setitem(modalities._SPECS, "rna", replace(RNA, max_features=None))
    assert resolved(FitConfig(), {"rna": 83, "adt": 17}).max_features == {"rna": 83}
