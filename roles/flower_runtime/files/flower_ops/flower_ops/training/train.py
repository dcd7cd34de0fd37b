# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one call of a ServerApp: train as the operator asked for, and go on where an earlier submission stopped.

@app.main()
def main(grid, context):
    result = train(grid, context, initial=new_parameters, evaluate=test)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flower_ops.training import output
from flower_ops.training.checkpoint import Checkpoint, CheckpointError, Store
from flower_ops.training.errors import NothingLearned
from flower_ops.training.flower import LOG, Arrays, arrays_of, record_of
from flower_ops.training.result import Result, degraded
from flower_ops.training.rounds import Evaluate, Rounds, Told
from flower_ops.training.settings import Settings
from flower_ops.training.strategies import Strategy, build
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid

# Key of what nodes are told among the settings of a checkpoint.
TOLD = "told"


def train(
    grid: Grid,
    context: Context,
    initial: Arrays | Callable[[], Arrays],
    evaluate: Evaluate | None = None,
    names: Sequence[str] | None = None,
    tell: Mapping[str, Told] | None = None,
) -> Result:
    """Run the rounds that `context.run_config` asks for (keys: settings.py) and return the model with its figures.

    initial: the untrained model, or what makes it; every strategy starts from it. evaluate: called with (round, arrays)
    before the first round (as round 0) and after each; its figures are the round's central ones. names: of the arrays
    in model.npz. tell: said to nodes with each round, where `client.messages.task_of` reads it; a training that goes on
    must be told the same as before. With `output-dir`, model.npz and metrics.json are written there at the end.

    When the training that the run belongs to (`training`) has a checkpoint, the run goes on after its round and gives
    what an uninterrupted run had given, provided that nodes draw their random numbers from the round's number. When it
    has all rounds already, nothing is trained. Checkpoints of other trainings are left alone.

    Raises ValueError with all faults of the run configuration, CheckpointError, NodesMissing, NothingLearned.
    """
    settings = Settings.read(context.run_config)
    for note in settings.notes():
        LOG.warning("%s.", note)
    arrays = list(initial() if callable(initial) else initial)
    if not arrays:
        raise ValueError("The ServerApp gave no initial arrays; every strategy starts from a model.")
    if names is not None and len(names) != len(arrays):
        # At the end of all rounds it would be too late.
        raise ValueError(f"The ServerApp gave {len(names)} names for {len(arrays)} arrays; give one for each, or none.")
    if names is not None and (len(set(names)) != len(names) or "file" in names):
        raise ValueError(
            "The ServerApp gave a name of arrays twice, or the name file, which NumPy's savez does not take."
        )
    strategy = build(settings)
    store = store_of(settings)
    rounds: list[dict[str, Any]] = []
    known = {**asdict(settings), TOLD: dict(tell or {})}
    done = 0
    # Without a name only this very run belongs to the training: Flower may start its process a second time.
    training = settings.training or str(context.run_id)
    found = store.latest(run=training) if store else None
    if store and found:
        store.check(found, settings.strategy, arrays)
        _check_told(found.settings.get(TOLD, {}), dict(tell or {}))
        strategy.restore(found.state)
        arrays, rounds, done = found.arrays, list(found.metrics), found.round
        LOG.info("Resuming after round %d of the checkpoint in %s.", done, store.folder)

    def keep(number: int, record: ArrayRecord, so_far: list[dict[str, Any]]) -> None:
        if store and (number % settings.checkpoint_interval == 0 or number == settings.num_server_rounds):
            store.save(_checkpoint(number, record, so_far, strategy, known, training))

    if done >= settings.num_server_rounds:
        LOG.info("The checkpoint holds all %d rounds: nothing is trained.", settings.num_server_rounds)
    else:
        loop = Rounds(grid, strategy, settings, evaluate, keep, tell)
        arrays = arrays_of(loop.run(record_of(arrays), rounds, first=done + 1))
    if not any(one["aggregated"] for one in rounds):
        raise NothingLearned(nothing(rounds))
    result = Result(arrays, rounds, degraded(rounds), done)
    if result.degraded:
        LOG.warning("Degraded: %s.", result.degraded)
    if settings.output_dir:
        output.write(Path(settings.output_dir), result, settings, names)
    return result


def store_of(settings: Settings) -> Store | None:
    """Where checkpoints go; None when there are none."""
    if not settings.checkpoint_enabled:
        return None
    folder = settings.checkpoint_path or (settings.output_dir and f"{settings.output_dir}/checkpoints")
    if not folder:
        LOG.warning("No checkpoints are written: set checkpoint-path or output-dir, or checkpoint-enabled to false.")
        return None
    disk = Path(settings.checkpoint_disk) if settings.checkpoint_disk else None
    return Store(Path(folder) / settings.training, settings.checkpoint_keep, disk)


def nothing(rounds: list[dict[str, Any]]) -> str:
    """Why not one round changed the model."""
    reasons = [f"node {node}: {why}" for one in rounds for node, why in one["failures"].items()]
    first = f"the first failure was of {reasons[0][:500]}" if reasons else "see the warnings of the strategy in the log"
    return f"No round brought a new model; {first}."


def _check_told(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Other data or another model in mid-training would spoil it without a word."""
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        told = ", ".join(f"{key} was {before.get(key)!r} and is {now.get(key)!r}" for key in changed)
        raise CheckpointError(
            f"The training cannot go on as it began: {told}; set it in the run configuration to what it was, or give "
            "the training another name."
        )


def _checkpoint(
    number: int, record: ArrayRecord, rounds: list[dict[str, Any]], strategy: Strategy, known: dict[str, Any], run: str
) -> Checkpoint:
    return Checkpoint(
        round=number,
        arrays=arrays_of(record),
        state=strategy.state(),
        metrics=list(rounds),
        run=run,
        strategy=str(known["strategy"]),
        settings=known,
    )
