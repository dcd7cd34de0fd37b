# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fine-tuning of a language model as far as NumPy goes: adapters, texts, the plan, which model a node can have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import Case
from flower_ops.training.errors import NodesMissing
from flower_ops.training.survey.plan import Undecided
from flwr.app import Context, RecordDict
from llm_fine_tuning import adapters, client_app, find, plan
from llm_fine_tuning.adapters import STAND_IN, Form
from llm_fine_tuning.texts import SILENT, Bytes, encoded, parts

WANTED = "openlm-research/open_llama_3b"
#: Of the model that is asked for by default: 26 layers of 3200, 32 heads of 100.
OPEN_LLAMA = Form(26, 3200, 3200, 3200)


def node(has: str = plan.BUILT, **more: Any) -> dict[str, Any]:
    found = {"form": list(OPEN_LLAMA)} if has == WANTED else {"why": "the hub does not answer"}
    return {"source": "bundled", "origin": "bundled instructions", "classes": [], "model": has, **found, **more}


def decide(*answers: dict[str, Any], needed: int = 2, wanted: str = "auto") -> dict[str, Any]:
    return plan.decide(dict(enumerate(answers)), needed, rank=16, wanted=wanted)


def test_adapters_have_names_and_start_values() -> None:
    shapes, arrays = adapters.shapes(OPEN_LLAMA, 16), adapters.new(OPEN_LLAMA, 16)
    assert [array.shape for array in arrays] == list(shapes.values())
    # Rank 16, for each of 26 layers two projections of 3200 to 3200.
    assert sum(array.size for array in arrays) == 26 * 2 * 2 * 16 * 3200
    assert next(iter(shapes)) == "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert all(not array.any() for array in arrays[1::2])
    assert all(0.9 / np.sqrt(3200) < np.abs(array).max() <= 1 / np.sqrt(3200) for array in arrays[::2])
    assert sum(array.size for array in adapters.new(STAND_IN, 16)) == 2 * 16 * (64 + 64 + 64 + 32)


def test_the_default_model_wherever_it_can_be_had(log: list[str]) -> None:
    found = decide(node(WANTED), node(), node(WANTED))
    assert found["model"] == WANTED and plan.form(found) == OPEN_LLAMA
    assert plan.fits(node(), found) == f"cannot have the model {WANTED} of the run: the hub does not answer"
    other = node(WANTED, form=[1, 2, 3, 4])
    assert "its files are others" in plan.fits(other, found) and plan.fits(node(WANTED), found) == ""
    assert log == [f"Without the model {WANTED} are node 1."]


def test_a_stand_in_where_too_few_have_the_default_and_that_is_told(log: list[str]) -> None:
    found = decide(node(WANTED), node(), node())
    assert found["model"] == plan.BUILT and plan.form(found) == STAND_IN
    assert plan.fits(node(WANTED), found) == plan.fits(node(), found) == ""
    (told,) = log
    assert told.startswith(f"1 of 2 nodes can have the model {WANTED}, so a small model with random weights stands in")
    assert told.endswith("trying out (node 1: the hub does not answer; node 2: the hub does not answer).")
    log.clear()
    assert decide(node(), node(), wanted="small")["model"] == plan.BUILT and log == []


def test_own_data_decides_before_the_model(log: list[str]) -> None:
    """That others have the model is no reason to train on other data."""
    own = node(source="own", origin="own instructions")
    found = decide(own, node(WANTED), own, node(WANTED))
    assert (found["source"], found["origin"], found["model"]) == ("own", "own instructions", plan.BUILT)
    assert "0 of 2 nodes can have the model" in log[0] and "node 1" not in log[0]
    with pytest.raises(Undecided, match="1 of 2 nodes that the run needs have data of their own"):
        decide(own, node(WANTED), node(WANTED))


@pytest.mark.parametrize("by_run", [True, False])
def test_no_stand_in_for_a_model_that_was_asked_for(by_run: bool, log: list[str]) -> None:
    """By the run's configuration, or by those of nodes."""
    has, lacks = node("a/b", asked="a/b", form=[1, 2, 3, 4]), node(asked="a/b", why="there is no folder /a/b")
    wanted = "a/b" if by_run else "auto"
    with pytest.raises(Undecided) as caught:
        decide(has, lacks, wanted=wanted)
    assert str(caught.value) == (
        "1 of 2 nodes that the run needs can have the model a/b, which was asked for (node 1: there is no folder /a/b);"
        " put its folder on each node and name that as model-name in ONEAPP_FL_NODE_CONFIG,"
        ' or set model-name to "small" to try the federation out without it'
    )
    found = decide(has, has, node(), lacks, wanted=wanted)
    assert found["model"] == "a/b" and plan.form(found) == Form(1, 2, 3, 4)
    assert plan.fits(node(), found).endswith("of the run: its configuration does not name it")
    assert plan.fits(lacks, found).endswith("of the run: there is no folder /a/b")
    # A training that began with the stand-in goes on with it, or not at all.
    why = "was asked for the model a/b, and this training has begun with a small one with random weights"
    assert plan.fits(lacks, {**found, "model": plan.BUILT}) == plan.fits(has, {**found, "model": plan.BUILT}) == why


def test_where_a_model_is(tmp_path: Path) -> None:
    assert find.model("/no/such") == (None, "there is no folder /no/such")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    folder, why = find.model(str(tmp_path))
    assert folder is None and why.startswith(f"what lies in {tmp_path} cannot be used (")
    assert find.model(WANTED)[1].startswith(f"the Hugging Face Hub does not answer, and {WANTED} could not be fetched")


def context(run: str = "auto", **own: str) -> Context:
    return Context(1, 1, dict(own), RecordDict(), {"model-name": run, "quantization": "none"})


def test_which_model_a_node_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "model", lambda name, quantization: (Path(name), quantization))
    own = {"model-name": "/here", "quantization": "4bit"}
    looked = [client_app.find_model(one) for one in (context(), context(""), context("a/b"), context("a/b", **own))]
    assert looked == [(Path(WANTED), "none")] * 2 + [(Path("a/b"), "none"), (Path("/here"), "4bit")]
    assert client_app.find_model(context("small", **own))[0] is None
    asked = [client_app.asked_for(one) for one in (context(), context("a/b", **own), context("auto", **own))]
    assert asked == ["", "a/b", "/here"] and client_app.asked_for(context("small", **own)) == ""


def test_quantization_is_one_of_three() -> None:
    find.check_quantization("none")
    with pytest.raises(ValueError, match="quantization = '2bit': expected one of none, 4bit, 8bit"):
        find.check_quantization("2bit")


def test_nodes_without_the_framework_say_what_is_missing() -> None:
    """In this environment there is no PyTorch: a real survey, and its end."""
    with pytest.raises(
        NodesMissing, match="node 1 has no torch and no transformers and no peft in its environment; ch"
    ):
        Case("llm-fine-tuning").run(node_wait_timeout=0.2)


def test_the_form_of_a_text() -> None:
    row = {"instruction": "Add.", "input": "1 and 2", "output": "3"}
    assert parts(row) == ("### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n### Response:\n", "3")
    assert "Input" not in parts({**row, "input": ""})[0]


def test_only_answers_are_learned() -> None:
    row = {"instruction": "Größe?", "input": "", "output": "ä"}
    question, answer = parts(row)
    result = encoded(row, Bytes(), 512)
    assert result is not None
    tokens, labels = result
    assert tokens[0] == Bytes.start and tokens[-1] == Bytes.end and len(tokens) == len(labels)
    assert bytes(token - 3 for token in tokens[1:-1]).decode() == question + answer
    assert [label for label in labels if label != SILENT] == tokens[-3:] == [3 + 0xC3, 3 + 0xA4, Bytes.end]
    assert max(tokens) < Bytes.size


def test_long_texts_are_cut_off_and_left_out_without_an_answer() -> None:
    row = {"instruction": "x" * 50, "input": "", "output": "y" * 50}
    asked = 1 + len(parts(row)[0])
    cut = encoded(row, Bytes(), asked + 5)
    assert cut is not None and len(cut[0]) == asked + 5 and cut[1][-1] == 3 + ord("y")
    assert encoded(row, Bytes(), asked) is None and encoded(row, Bytes(), asked - 9) is None
