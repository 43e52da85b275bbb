"""Further options: what they permit, and what they put into a server's environment."""

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from mlabhub.core.choices import FurtherOption, ListVariable, NumberVariable, read_option
from mlabhub.core.profiles import ProfileSpec
from mlabhub.core.variables import fault_of_variable
from mlabhub.errors import InvalidLaunch
from tests.core.examples import SMALL

OPTION = TypeAdapter(FurtherOption)
WORKERS = {"display_name": "Workers", "variable": "NUM_WORKERS", "min": 0, "max": 16, "default": 4, "unit": "processes"}
PRECISION = {
    "display_name": "Precision",
    "variable": "PRECISION",
    "choices": {"fp32": "Full", "bf16": {"display_name": "bfloat16", "environment": {"TORCH_X": "1"}}},
    "default": "bf16",
}


def test_both_forms():
    workers, precision = OPTION.validate_python(WORKERS), OPTION.validate_python(PRECISION)
    assert isinstance(workers, NumberVariable)
    assert isinstance(precision, ListVariable)
    assert precision.choices["fp32"].display_name == "Full"
    assert OPTION.validate_python(workers.model_dump()) == workers
    assert OPTION.validate_python(precision.model_dump()) == precision


@pytest.mark.parametrize(
    ("written", "value", "environment"),
    [
        (WORKERS, None, {"NUM_WORKERS": "4"}),
        (WORKERS, 8, {"NUM_WORKERS": "8"}),
        (WORKERS, 8.0, {"NUM_WORKERS": "8"}),
        ({**WORKERS, "step": 0.1}, 0.3, {"NUM_WORKERS": "0.3"}),
        (PRECISION, None, {"PRECISION": "bf16", "TORCH_X": "1"}),
        (PRECISION, "fp32", {"PRECISION": "fp32"}),
        ({**PRECISION, "default": None}, None, {"PRECISION": "fp32"}),
    ],
    ids=str,
)
def test_environment(written, value, environment):
    option = OPTION.validate_python(written)
    assert option.environment_of(read_option("slug", option, value)) == environment


@pytest.mark.parametrize(
    ("written", "value"),
    [(WORKERS, value) for value in (17, -1, 0.5, True, "8", "", math.nan, math.inf, 10**400, [8], {"min": 8})]
    + [
        (PRECISION, value)
        for value in (0, True, "", "Full", "FP32", "fp32\n", "ｆp32", "{}", ["fp32"], {"fp32": 1}, "x" * 10**6)
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_not_permitted(written, value):
    with pytest.raises(InvalidLaunch, match="slug") as caught:
        read_option("slug", OPTION.validate_python(written), value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"default": "int8"}, "the default int8 cannot be chosen; permitted: fp32, bf16"),
        ({"variable": None}, None),
        ({"variable": None, "choices": {"a": "A"}, "default": None}, "the choice would change nothing"),
        ({"choices": {}}, "at least 1"),
        ({"choices": {"FP 32": "x"}}, "pattern"),
        ({"choices": {"a": {"display_name": "A", "environment": {"LD_PRELOAD": "x"}}}}, "servers rely on"),
        ({"choices": {"a": {"display_name": "A", "environment": {"A": "x\ny"}}}}, "one line of printable text"),
        ({"min": 1}, "Extra"),
    ],
    ids=str,
)
def test_wrong_lists(change, wrong):
    written = {**PRECISION, **change}
    if wrong is None:
        OPTION.validate_python(written)
        return
    with pytest.raises(ValidationError, match=wrong):
        OPTION.validate_python(written)


@pytest.mark.parametrize(
    "name",
    [
        "MLABHUB_USER",
        "MLABHUB",
        "JUPYTERHUB_API_TOKEN",
        "JUPYTER_PATH",
        "NVIDIA_VISIBLE_DEVICES",
        "CUDA_VISIBLE_DEVICES",
        "cuda_visible_devices",
        "PATH",
        "HOME",
        "USER",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "SSL_CERT_FILE",
        "BASH_ENV",
        "LC_ALL",
        "A B",
        "A=B",
        "A\n",
        "1A",
        "",
        "Ａ",
        "{}",
    ],
)
def test_variables_that_no_option_sets(name):
    assert fault_of_variable(name) is not None
    with pytest.raises(ValidationError):
        OPTION.validate_python({**WORKERS, "variable": name})


@pytest.mark.parametrize("name", ["NUM_WORKERS", "OMP_NUM_THREADS", "PIP_INDEX_URL", "_x", "PATHS", "PYTHONHASHSEED"])
def test_variables_that_options_may_set(name):
    assert fault_of_variable(name) is None


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"shm_gib": WORKERS}, "is the name of another launch option"),
        ({"image": WORKERS}, "is the name of another launch option"),
        ({"a": WORKERS, "b": WORKERS}, "sets NUM_WORKERS, as a does"),
        ({"a": {**PRECISION, "variable": "TORCH_X"}}, None),
        ({"A": WORKERS}, "pattern"),
        ({"a__b": WORKERS}, "pattern"),
    ],
    ids=str,
)
def test_options_beside_each_other(options, wrong):
    profile = {"display_name": "P", "images": ["base"], **SMALL, "options": options}
    if wrong is None:
        ProfileSpec.model_validate(profile)
        return
    with pytest.raises(ValidationError, match=wrong):
        ProfileSpec.model_validate(profile)
