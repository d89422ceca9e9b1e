"""The road of a case: check, fit, predict, match, embed, evaluate, save and load, each looked at; holds no test."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import anndata
import mudata
import numpy as np
from anndata import AnnData
from mudata import MuData
from odd_data import SHAPE, USUAL, Case, Question
from scipy import sparse

from unisono import cli
from unisono.api import fit, load
from unisono.config import FitConfig
from unisono.evaluation.scores import evaluate
from unisono.messages import BadInput, InputWarning
from unisono.model.unisono import EMBEDDING, Unisono
from unisono.reading import check

TOLERANCE = {"rtol": 2e-3, "atol": 2e-3}
"""Of float32 sums in another order, where counts reach a million."""


class UnwritableError(Exception):
    """Data of which there is no file, so no question to us."""


def travelled(case: Case, folder: Path, road: Callable[[Case, Path], str] | None = None) -> tuple[str, bool]:
    """How a case ended: "result", "refused" with where, "unwritable", or "failed" with the error; and if that is right.

    The road is the whole one in Python or the shell, as the case says, unless another is given.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        try:
            return (road or {"shell": _in_shell, "python": _in_python}[case.through])(case, folder), True
        except UnwritableError as error:
            return f"unwritable: {error}", True
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if "src/unisono" in frame.filename] or frames
            at = "; ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in (own[-1], frames[-1]))
            return f"failed {type(error).__name__}: {' '.join(str(error).split())[:300]} ({at})", False


def config_of(case: Case) -> dict[str, Any]:
    """The fields of the config."""
    architecture = SHAPE | case.config.get("architecture", {})
    merged = USUAL | {name: value for name, value in case.config.items() if name != "architecture"}
    for name in ("preprocessing", "validation"):
        merged[name] = {**USUAL.get(name, {}), **case.config.get(name, {})}
    return merged | {"architecture": architecture}


def _in_python(case: Case, folder: Path) -> str:
    training, query = case.training.build(), case.query.build()
    before = [content_of(data) for data in (training, query)]
    config = FitConfig.preset("default", **config_of(case))
    report = check(training, **case.options)
    try:
        model = fit(training, config=config, device="cpu", progress=False, **case.options)
    except BadInput as refusal:
        refused = code_of(refusal)
        if report.is_usable and refused != "E046":  # as few features are selected as the config says
            raise AssertionError(f"check takes what fit refuses: {refusal}") from refusal
        return f"refused {refused} by fit"
    assert report.is_usable, f"fit takes what check refuses: {report.findings}"
    asked = check(query, model)
    changed = {"embed": case.query.build()}
    verbs = VERBS | {"predict": partial(_predict, is_every=asked.is_usable)}
    ends = {name: end_of(verb, model, changed.get(name, query), case.question) for name, verb in verbs.items()}
    if case.question.also != "nothing":
        ends[case.question.also] = end_of(ALSO[case.question.also], model, query, case.question)
    model.save(folder / "model", force=True)
    again = load(folder / "model", device="cpu")
    if ends["predict"] == "result":
        _assert_same_again(model, again, query, case)
    assert ends["predict"] == "result" or not asked.is_usable, f"check takes what predict refuses: {ends['predict']}"
    assert [content_of(data) for data in (training, query)] == before, "the input was changed"
    return told_of(ends)


def code_of(refusal: BadInput) -> str:
    return next(finding.code for finding in refusal.findings if finding.severity == "error")


def end_of(verb: Callable[..., None], model: Unisono, query: MuData, question: Question) -> str:
    try:
        verb(model, query, question)
    except BadInput as refusal:
        return f"refused {code_of(refusal)}"
    return "result"


def content_of(data: MuData) -> str:
    """A hash of everything in the data."""
    digest = hashlib.sha256()
    for table in (data, *data.mod.values()):
        digest.update(repr((list(table.obs_names), list(table.var_names))).encode())
        digest.update(repr((table.obs.to_dict(), list(table.obs.dtypes), table.var.to_dict())).encode())
        digest.update(repr((list(table.obsm), list(table.varm), list(table.uns))).encode())
    for table in data.mod.values():
        for matrix in (table.X, *table.layers.values(), *([table.raw.X] if table.raw is not None else [])):
            digest.update(f"{type(matrix)} {matrix.dtype} {matrix.shape}".encode())
            arrays = (matrix.data, matrix.indices, matrix.indptr) if sparse.issparse(matrix) else (matrix,)
            for array in arrays:
                digest.update(np.ascontiguousarray(array).tobytes() if array.dtype != object else repr(array).encode())
    return digest.hexdigest()


def _directions(model: Unisono, query: MuData) -> list[tuple[str, str]]:
    """Source and target, as far as the query has the source."""
    return [(a, b) for a, b in permutations(model.modalities, 2) if a in query.mod]


def _style(model: Unisono, query: MuData, target: str, question: Question) -> Any:
    if question.style == "cells" and target in query.mod:
        return query.mod[target]
    if question.style == "b1" and "b1" in model.batches:
        return "b1"
    return "no batch" if question.style == "no batch" else "average"


def _predict(model: Unisono, query: MuData, question: Question, is_every: bool = False) -> None:
    """Predict in all directions, each of which is to be answered if the data are known to be usable, else one."""
    refusals, directions = [], _directions(model, query)
    for source, target in directions:
        try:
            found, interval = _predicted(model, query, source, target, question)
        except BadInput as refusal:
            refusals.append(refusal)
        else:
            assert_prediction(found, model, query.mod[source], target, interval)
    if refusals and (is_every or len(refusals) == len(directions)):
        raise refusals[0]


def _predicted(
    model: Unisono, query: MuData, source: str, target: str, question: Question
) -> tuple[AnnData, float | None]:
    """The prediction as asked for, or, where that is refused, as by default; and the coverage of its intervals."""
    style = _style(model, query, target, question)
    others = [m for m in model.modalities if m not in (source, target)]
    how: dict[str, Any] = {"n_draws": question.n_draws, "interval": question.interval}
    if question.via and others:
        how = {"via": others[0]}
    try:
        return model.predict(query, source, target, style, force=question.force, **how), how.get("interval")
    except BadInput:
        return model.predict(query, source, target, force=question.force), None


def assert_prediction(found: AnnData, model: Unisono, cells: AnnData, target: str, interval: float | None) -> None:
    """Finite values of the right cells and features, on the scale of the target, between the ends of intervals."""
    known = list(model.fitted.preprocessors[target].projection.features)
    assert list(found.var_names) == known
    assert set(found.obs_names) <= set(cells.obs_names)
    assert found.shape == (len(found.obs_names), len(known))
    assert found.n_obs > 0
    order = cells.obs_names.get_indexer(found.obs_names)
    assert (np.diff(order) > 0).all(), "cells are in another order than in the query"
    x = np.asarray(found.X)
    is_right = x.dtype == np.float32 and np.isfinite(x).all() and x.min() >= 0
    assert is_right, f"{target}: {x.dtype} from {x.min()} to {x.max()}"
    assert target != "atac" or x.max() <= 1
    assert np.isfinite(found.obs["unisono_novelty"]).all()
    assert (found.obs["unisono_novelty"] >= 0).all()
    if "spread" in found.layers:
        assert np.isfinite(found.layers["spread"]).all()
        assert (found.layers["spread"] >= 0).all()
    if interval is not None and "lower" in found.layers:
        lower, upper = found.layers["lower"], found.layers["upper"]
        slack = 1e-4 * (1 + np.abs(x))  # NaN compares as False
        assert (lower <= x + slack).all(), "a prediction is below its interval"
        assert (x <= upper + slack).all(), "a prediction is above its interval"


def _match(model: Unisono, query: MuData, question: Question) -> None:
    there = [m for m in model.modalities if m in query.mod]
    if len(there) < 2:
        return
    left, right = there[0], there[-1]
    how = {name: getattr(question, name) for name in ("rule", "depth", "top", "prior_unmatched", "min_probability")}
    how["force"] = question.force
    within = question.within
    try:
        found = model.match(query.mod[left], query.mod[right], between=(left, right), within=within, **how)
    except BadInput:
        found = model.match(query, query, between=(left, right), **how)
    assert_matching(found, query, question)


def assert_matching(found: Any, query: MuData, question: Question) -> None:
    """Rows of probabilities, as many as promised, and other columns between 0 and 1."""
    table = found.to_anndata()
    assert set(table.obs_names) <= set(query.mod[found.left_modality].obs_names)
    assert set(table.var_names) <= set(query.mod[found.right_modality].obs_names)
    x = sparse.csr_matrix(table.X)
    sums = np.asarray(x.sum(axis=1)).ravel()
    assert np.isfinite(x.data).all()
    assert (x.data >= 0).all()
    assert np.all((np.abs(sums - 1) < 1e-4) | (sums == 0)), sums
    per_row = np.diff(x.indptr)
    assert per_row.max(initial=0) <= (min(question.top, 1000) if question.rule == "soft" else 1)
    if question.rule == "one-to-one":
        is_matched = table.obs["p_unmatched"].to_numpy() < 1  # cells left over are shown their likeliest partner
        assert np.bincount(x[is_matched].indices, minlength=1).max() < 2
    for name in ("p_unmatched", "confidence", "p_beyond"):
        if name in table.obs:
            values = table.obs[name].to_numpy()
            assert np.isfinite(values).all(), name
            assert values.min() >= -1e-6, (name, values)
            assert values.max() <= 1 + 1e-6, (name, values)
    pairs = found.pairs
    assert set(pairs["left"]) <= set(table.obs_names)
    assert set(pairs["right"]) <= set(table.var_names)
    assert repr(found)


def _embed(model: Unisono, query: MuData, question: Question) -> None:
    found = model.embed(query, force=question.force)
    for name in (m for m in model.modalities if m in found.mod):
        vectors, novelty = found[name].obsm[EMBEDDING], found[name].obs["unisono_novelty"].to_numpy()
        is_read = ~np.isnan(vectors).any(axis=1)
        assert len(vectors) == query[name].n_obs
        assert is_read.any()
        assert np.isnan(vectors[~is_read]).all()
        assert np.array_equal(np.isfinite(novelty), is_read)
        np.testing.assert_allclose(np.linalg.norm(vectors[is_read], axis=1), 1, atol=1e-4)


def _evaluate(model: Unisono, query: MuData, question: Question) -> None:
    try:
        found = evaluate(model, query, label_key=question.label_key, force=question.force)
    except BadInput:
        found = evaluate(model, query, force=question.force)
    for row in found.rows:
        assert not np.isinf(row.value), row
        assert row.chance is None or np.isfinite(row.chance) or np.isnan(row.value), row
    assert json.dumps(found.to_dict(), allow_nan=False)
    assert repr(found)
    assert len(found.to_frame()) == len(found.rows)


VERBS = {"predict": _predict, "match": _match, "embed": _embed, "evaluate": _evaluate}


def _calibrate(model: Unisono, query: MuData, question: Question) -> None:
    by = question.label_key if question.label_key != "no column" else None
    _predict(model.calibrate(query, by), query, Question(interval=0.5, force=question.force))


def _adapt(model: Unisono, query: MuData, question: Question) -> None:
    _predict(model.adapt(query, n_epochs=1), query, Question(force=question.force))


def _pair(model: Unisono, query: MuData, question: Question) -> None:
    if len(model.modalities) > 1 and all(m in query.mod for m in model.modalities):
        sides = model.modalities[:2]
        found = model.pair(query, query, between=sides, force=question.force)
        assert found.n_obs > 0
        assert found[sides[0]].n_obs == found[sides[1]].n_obs == found.n_obs


def _feature_effects(model: Unisono, query: MuData, question: Question) -> None:
    for source, target in _directions(model, query):
        assert np.isfinite(model.feature_effects(query, source, target).table(3)["effect"]).all()


def _index(model: Unisono, query: MuData, question: Question) -> None:
    for name in (m for m in model.modalities if m in query.mod):
        found = model.index(query.mod[name], name, force=question.force)
        near = found.search(query.mod[name], 2, modality=name, force=question.force)
        assert np.isfinite(near["similarity"]).all()
        assert near["similarity"].abs().max() <= 1 + 1e-4
        assert near["similarity"][:: min(2, len(found.cells))].min() > 1 - 1e-3, "a cell is not most similar to itself"


ALSO = {
    "calibrate": _calibrate,
    "adapt": _adapt,
    "pair": _pair,
    "feature_effects": _feature_effects,
    "index": _index,
}


def _assert_same_again(model: Unisono, again: Unisono, query: MuData, case: Case) -> None:
    """A model that was saved predicts as before, as does the same one of cells and features in another order."""
    rng, force = np.random.default_rng(case.training.seed), case.question.force
    for source, target in _directions(model, query):
        try:
            before = model.predict(query, source, target, force=force)
        except BadInput:
            continue
        np.testing.assert_allclose(again.predict(query, source, target, force=force).X, before.X, rtol=1e-5, atol=1e-6)
        after = model.predict(_shuffled(query, source, rng), source, target, force=force)[before.obs_names]
        np.testing.assert_allclose(after.X, before.X, **TOLERANCE, err_msg="order of the query matters")


def _shuffled(query: MuData, modality: str, rng: np.random.Generator) -> MuData:
    """One modality of the query, its cells and features in another order."""
    part = query.mod[modality]
    with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shuffled = MuData({modality: part[rng.permutation(part.n_obs)][:, rng.permutation(part.n_vars)].copy()})
        if "batch" in query.obs:
            shuffled.obs["batch"] = query.obs["batch"].reindex(shuffled.obs_names)
    return shuffled


def _in_shell(case: Case, folder: Path) -> str:
    training, query = case.training.build(), case.query.build()
    written(training, folder / "training.h5mu")
    written(query, folder / "query.h5mu")
    (folder / "config.toml").write_text(_toml(config_of(case)))
    options = [word for name, value in case.options.items() for word in _option(name, value)]
    model, config = str(folder / "model"), str(folder / "config.toml")
    checked = _command("check", str(folder / "training.h5mu"), *options)
    how = ["-o", model, "--config", config, "--device", "cpu", *options]
    refused = _command("fit", str(folder / "training.h5mu"), *how)
    if refused:
        return f"refused {refused} by fit"
    assert not checked, f"fit takes what check refuses: {checked}"
    return _asked_in_shell(case, query, folder, model)


def written(data: MuData, path: Path) -> Path:
    """Where the data were written, which are not changed.

    Raises:
        UnwritableError: with what anndata raised.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data.copy().write_h5mu(path)  # which changes columns of what it writes
    except Exception as error:
        raise UnwritableError(type(error).__name__) from error
    return path


def _option(name: str, value: str | bool) -> list[str]:
    """An argument of `fit` as the command line has it."""
    word = f"--{name.removesuffix('_counts').replace('_', '-')}"
    return [word] if value is True else [word, str(value)]


def _asked_in_shell(case: Case, query: MuData, folder: Path, model: str) -> str:
    source, target = list(case.training.parts)[:2]
    lines = {
        "predict": ["--from", source, "--to", target, "-o", str(folder / "p.h5ad")],
        "match": ["--between", f"{source},{target}", "--rule", case.question.rule, "-o", str(folder / "m.h5ad")],
        "embed": ["-o", str(folder / "e.h5mu")],
        "evaluate": ["-o", str(folder / "scores"), "--no-report"],
    }
    force = ["--force"] if case.question.force else []
    refusals = {
        name: _command(name, model, str(folder / "query.h5mu"), *line, "--device", "cpu", *force)
        for name, line in lines.items()
    }
    if not refusals["predict"]:
        assert_prediction(anndata.read_h5ad(folder / "p.h5ad"), load(model), query.mod[source], target, None)
    if not refusals["match"]:
        sums = np.asarray(anndata.read_h5ad(folder / "m.h5ad").X.sum(axis=1))
        assert np.all((np.abs(sums - 1) < 1e-4) | (sums == 0))
    return told_of({name: f"refused {code}" if code else "result" for name, code in refusals.items()})


def told_of(ends: dict[str, str]) -> str:
    """How the questions ended: "refused" where neither prediction nor matching is there."""
    if ends["predict"] != "result" and ends["match"] != "result":
        return ends["predict"]
    return ", ".join(["result", *(f"{name} {end}" for name, end in ends.items() if end != "result")])


def _command(*words: str) -> str | None:
    """The code of a refusal, None where the command ends with 0."""
    said = io.StringIO()
    before = sys.argv
    sys.argv = ["unisono", *words]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                cli.main()
            except SystemExit as end:
                code = end.code
    finally:
        sys.argv = before
    lines = said.getvalue().splitlines()
    assert code in (0, 2), f"{words[0]} ends with {code}: {lines}"
    if code == 0:
        return None
    errors = [line for line in lines if line[:1] == "E" and line[1:4].isdigit()]
    assert errors, f"{words[0]} ends with 2 and says {lines}"
    return errors[0][:4]


def _toml(config: dict[str, Any], within: str = "") -> str:
    """A config as a file has it, one dotted key a line."""
    return "".join(
        _toml(value, f"{within}{name}.") if isinstance(value, dict) else f"{within}{name} = {json.dumps(value)}\n"
        for name, value in config.items()
    )
