# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run configuration may say, and that all its faults are told at once."""

from __future__ import annotations

from typing import Any

import pytest
from flower_ops.robustness import least_nodes
from flower_ops.training.settings import FORMS, STRATEGIES, Settings
from flower_ops.training.strategies import build
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds
from hypothesis import strategies as st


def faults(**config: Any) -> str:
    with pytest.raises(ValueError, match="^The run configuration has ") as caught:
        Settings.read({name.replace("_", "-"): value for name, value in config.items()})
    return str(caught.value)


def read(**config: Any) -> Settings:
    return Settings.read({name.replace("_", "-"): value for name, value in config.items()})


def test_defaults_and_keys_of_the_app() -> None:
    assert Settings.read({"learning-rate": "whatever", "local-epochs": -1}) == Settings()
    assert read(strategy="FaultTolerantFedAvg").min_available_clients == 1


def test_every_field_has_a_form() -> None:
    assert {name.replace("-", "_") for name in FORMS} == set(Settings.__dataclass_fields__)


def test_all_faults_come_at_once() -> None:
    told = faults(strategy="FedSGD", num_server_rounds=0, trim_beta=0.5, proximal_mu=-1, checkpoint_enabled="YES")
    assert told.startswith("The run configuration has 5 faults: ")
    for text in (
        "strategy = 'FedSGD': expected one of FedAvg, FedProx",
        "num-server-rounds = 0: expected a whole number of at least 1",
        "trim-beta = 0.5: expected a number above 0 and below 0.5",
        "proximal-mu = -1: expected a number 0 or more",
        "checkpoint-enabled = 'YES': expected true or false",
    ):
        assert text in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num-server-rounds", True),
        ("num-server-rounds", 3.0),
        ("num-server-rounds", "3"),
        ("round-timeout", 0),
        ("round-timeout", float("inf")),
        ("proximal-mu", float("nan")),
        ("server-lr", 0.0),
        ("client-lr", "0.1"),
        ("fraction-evaluate", 1.1),
        ("min-completion-rate", -0.1),
        ("num-malicious", -1),
        ("trim-beta", 0),
        ("checkpoint-interval", 0),
        ("checkpoint-path", " /x"),
        ("checkpoint-disk", "/x\n"),
        ("training", "../other"),
        ("training", "a" * 81),
        ("output-dir", "a\nb"),
        ("require-flower-version", "1.x"),
        ("require-flower-version", 1.34),
        ("strategy", "fedavg"),
    ],
)
def test_values_of_no_form_are_refused_for_every_strategy(key: str, value: Any) -> None:
    for strategy in STRATEGIES if key != "strategy" else STRATEGIES[:1]:
        with pytest.raises(ValueError, match=f"a fault: {key} = "):
            Settings.read({"strategy": strategy, "min-available-clients": 9, key: value})


@pytest.mark.parametrize(("strategy", "factor"), [("Krum", 2), ("MultiKrum", 2), ("Bulyan", 4)])
def test_robust_strategies_need_nodes_for_each_malicious_one(strategy: str, factor: int) -> None:
    for bad in (1, 2, 3):
        needed = factor * bad + 3
        assert least_nodes(strategy, bad)[0] == needed
        told = faults(strategy=strategy, num_malicious=bad, min_available_clients=needed - 1)
        assert f"at least {factor}f + 3 = {needed}, which is {needed - 1}" in told
        assert read(strategy=strategy, num_malicious=bad, min_available_clients=needed).num_malicious == bad


def test_without_malicious_nodes_only_bulyan_has_a_minimum() -> None:
    assert read(strategy="Krum").notes() == ["Krum with num-malicious 0 is on guard against nobody"]
    assert "at least 4f + 3 = 3, which is 2" in faults(strategy="Bulyan")
    assert read(strategy="FedAvg", num_malicious=5).num_malicious == 5


def test_sizes_fit_together() -> None:
    assert read(min_available_clients=1).min_fit_clients == 1
    assert read(min_fit_clients=4).min_available_clients == 4
    assert "min-fit-clients = 5: expected at most min-available-clients, which is 4" in faults(
        min_fit_clients=5, min_available_clients=4
    )
    assert read(min_evaluate_clients=5, min_available_clients=4).min_evaluate_clients == 5
    assert "min-evaluate-clients = 5" in faults(min_evaluate_clients=5, min_available_clients=4, fraction_evaluate=0.5)


def test_nothing_is_said_about_what_could_not_be_read() -> None:
    told = faults(strategy="Bulyan", num_malicious=1, min_available_clients="many", min_fit_clients=9)
    assert told.startswith("The run configuration has a fault: min-available-clients = 'many'")


def test_a_trimmed_mean_that_trims_nothing_is_noted() -> None:
    assert (
        "trims nothing while only 4 nodes answer" in read(strategy="FedTrimmedAvg", min_available_clients=4).notes()[0]
    )
    assert read(strategy="FedTrimmedAvg", min_available_clients=5).notes() == []


TEXTS = st.text("aF1. \n", max_size=4)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 9), st.floats(), TEXTS, st.sampled_from(STRATEGIES))


@bounds(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(FORMS)), VALUES))
def test_any_configuration_is_read_or_refused_in_one_sentence(config: dict[str, Any]) -> None:
    try:
        settings = Settings.read(config)
    except ValueError as error:
        assert str(error).startswith("The run configuration has ")
    else:
        assert type(build(settings)).__name__ == settings.strategy
