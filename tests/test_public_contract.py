"""Tests of the public contract: names, parameters, defaults and options that users rely on are there."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
import typer

import unisono as un
from unisono import cli
from unisono.config import Preset
from unisono.matching import RULES

EMPTY = inspect.Parameter.empty


def parameters(function) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


SIGNATURES = {
    "fit": (un.fit, {"mdata": EMPTY, "batch_key": None, "preset": "default", "seed": 0}),
    "load": (un.load, {"path": EMPTY}),
    "disentanglement": (un.disentanglement, {"model": EMPTY, "test": EMPTY, "cell_type_key": "cell_type"}),
    "evaluate": (un.evaluate, {"model": EMPTY, "test": EMPTY}),
    "predict": (
        un.Unisono.predict,
        {"self": EMPTY, "query": EMPTY, "source": EMPTY, "target": EMPTY, "style": "average", "interval": None},
    ),
    "match": (
        un.Unisono.match,
        {"self": EMPTY, "left": EMPTY, "right": EMPTY, "rule": "soft", "depth": False},
    ),
    "embed": (un.Unisono.embed, {"self": EMPTY, "mdata": EMPTY}),
    "index": (un.Unisono.index, {"self": EMPTY, "cells": EMPTY, "modality": None}),
    "load_index": (un.Unisono.load_index, {"self": EMPTY, "path": EMPTY}),
    "search": (un.CellIndex.search, {"self": EMPTY, "query": EMPTY, "k": 10}),
    "save an index": (un.CellIndex.save, {"self": EMPTY, "path": EMPTY}),
    "save": (un.Unisono.save, {"self": EMPTY, "path": EMPTY}),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_function_takes_what_was_promised_with_the_defaults_promised(name):
    function, promised = SIGNATURES[name]
    found = parameters(function)
    assert {key: found[key].default for key in promised if key in found} == promised
    required = [key for key, parameter in found.items() if parameter.default is EMPTY]
    assert required == [key for key, default in promised.items() if default is EMPTY]
    kinds = {parameter.kind for parameter in found.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert inspect.Parameter.VAR_POSITIONAL not in kinds


def test_the_choices_of_a_fit_and_a_match_are_named_not_placed():
    for function, names in (
        (un.fit, ("batch_key", "preset", "seed", "modalities", "layer", "config", "device")),
        (un.Unisono.match, ("within", "rule", "depth", "top", "between")),
        (un.CellIndex.search, ("modality", "exact")),
    ):
        for name in names:
            assert parameters(function)[name].kind is inspect.Parameter.KEYWORD_ONLY, name


def test_within_is_a_parameter_of_match():
    assert "within" in parameters(un.Unisono.match)


def test_the_values_of_choices_are_those_promised():
    assert get_args(Preset) == ("fast", "default", "best")
    assert RULES == ("soft", "argmax", "one-to-one")
    for name in get_args(Preset):
        assert un.FitConfig.preset(name, seed=3).seed == 3


def test_the_package_offers_the_promised_names():
    promised = {
        "fit",
        "load",
        "evaluate",
        "Unisono",
        "Matching",
        "CellIndex",
        "FitConfig",
        "BadInput",
        "InputWarning",
        "datasets",
    }
    assert promised <= set(un.__all__)
    for name in un.__all__:
        assert getattr(un, name) is not None


def test_bad_input_is_a_value_error_and_its_warning_a_user_warning():
    assert issubclass(un.BadInput, ValueError)
    assert issubclass(un.InputWarning, UserWarning)


def test_a_matching_gives_pairs_and_anndata():
    assert isinstance(inspect.getattr_static(un.Matching, "pairs"), property)
    assert list(parameters(un.Matching.to_anndata)) == ["self"]


COMMANDS = {
    "check": (["data"], {"--model", "--json", "--batch-key", "--modalities"}),
    "fit": (
        ["data"],
        {"-o", "--batch-key", "--modalities", "--preset", "--config", "--seed", "--device", "--devices", "--resume"}
        | {"--force"},
    ),
    "predict": (["model", "query"], {"--from", "--to", "-o", "--style", "--force"}),
    "match": (["model", "query"], {"--between", "--within", "--rule", "--depth", "--top", "-o", "--force"}),
    "embed": (["model", "query"], {"-o", "--force"}),
    "index": (["model", "cells"], {"-o", "--modality", "--force"}),
    "search": (["model", "index", "query"], {"-o", "-k", "--modality", "--force"}),
    "evaluate": (["model", "test"], {"-o"}),
    "demo": ([], {"-o", "--data", "--force"}),
}
DEFAULTS = {
    ("fit", "--preset"): "default",
    ("fit", "--seed"): 0,
    ("fit", "--device"): "auto",
    ("fit", "--devices"): 1,
    ("fit", "--resume"): False,
    ("predict", "--style"): "average",
    ("match", "--rule"): "soft",
    ("match", "--depth"): False,
    ("match", "--top"): 100,
    ("index", "--modality"): None,
    ("search", "-k"): 10,
    ("search", "--modality"): None,
    ("demo", "--data"): None,
}


def command(name: str):
    return typer.main.get_command(cli.app).commands[name]


def options(name: str) -> dict:
    found = [item for item in command(name).params if item.param_type_name == "option"]
    return {flag: item for item in found for flag in item.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_arguments_and_options_promised(name):
    arguments, promised = COMMANDS[name]
    assert [item.name for item in command(name).params if item.param_type_name == "argument"] == arguments
    assert promised - set(options(name)) == set()


@pytest.mark.parametrize(("name", "flag"), DEFAULTS)
def test_an_option_has_the_default_promised(name, flag):
    option = options(name)[flag]
    assert option.default == DEFAULTS[name, flag]
    assert not option.required


@pytest.mark.parametrize(
    ("name", "flag"),
    [("fit", "-o"), ("predict", "--from"), ("predict", "--to"), ("predict", "-o"), ("match", "--between")],
)
def test_an_option_without_which_nothing_can_be_done_is_required(name, flag):
    assert options(name)[flag].required


def test_every_command_and_option_is_explained():
    for name, found in typer.main.get_command(cli.app).commands.items():
        assert found.help, name
        for item in found.params:
            assert getattr(item, "help", None) or item.name in ("help",), f"{name} {item.name}"
