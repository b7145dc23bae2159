"""What every plug-in folder promises: the folder is the registry."""

import inspect
import pkgutil

import pytest

import builder
from builder.errors import ConfigError
from builder.plugins import find, make, names
from builder.plugins.checks import Check
from builder.plugins.judges import Judge
from builder.plugins.llm import Backend
from builder.plugins.measures import Measure
from builder.plugins.tts import Engine

CONTRACTS = (Backend, Judge, Engine, Check, Measure)
EVERY = [(contract, name) for contract in CONTRACTS for name in names(contract)]


@pytest.mark.parametrize(("contract", "name"), EVERY, ids=lambda value: getattr(value, "__name__", value))
def test_every_file_of_a_plugin_folder_is_one_documented_record_that_keeps_the_contract(contract, name):
    record = find(contract, name, "here")
    assert inspect.getdoc(record) != inspect.getdoc(contract), "its own docstring says what it is"
    asked = {Judge: ("judge",), Check: ("fault", "faults")}.get(contract, ("open",))
    assert any(getattr(record, name) is not getattr(contract, name) for name in asked)
    with pytest.raises(ConfigError, match="unknown key 'colour'"):
        make(contract, {contract.__name__.lower(): name, "colour": "red"}, "here")


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_a_plugin_that_does_not_exist_is_answered_with_the_nearest(contract):
    name = names(contract)[0]
    with pytest.raises(
        ConfigError, match=rf"no {contract.__name__.lower()} '{name}x': did you mean '{name}'\?"
    ):
        make(contract, {contract.__name__.lower(): f"{name}x"}, "here")
    with pytest.raises(ConfigError, match="is not named: one of .*" + name):
        make(contract, {}, "here")


def test_a_plugin_is_unchanged_by_use():
    for contract, name in EVERY:
        assert find(contract, name, "here").__struct_config__.frozen


def test_finding_plugins_imports_no_heavy_library():
    heavy = {"torch", "transformers", "espeakng_loader", "TTS", "snac", "librosa", "pyloudnorm", "jiwer"}
    for contract, name in EVERY:
        source = inspect.getsource(inspect.getmodule(find(contract, name, "here")))
        top = {
            line.split()[1].split(".")[0]
            for line in source.splitlines()
            if line.startswith(("import ", "from "))
        }
        assert not top & heavy, name


def test_every_module_says_what_it_holds():
    for module in pkgutil.walk_packages(builder.__path__, "builder."):
        if module.name == "builder.__main__" or not module.ispkg:
            spec = module.module_finder.find_spec(module.name)
            text = spec.loader.get_source(module.name)
            assert text.startswith('"""'), module.name
