# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run configuration of an app, checked whole in its ServerApp: its own keys, those of data, and the settings.

What is wrong in it heals on no node and by no waiting, so it is said before a node is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flower_ops.training import forms
from flower_ops.training.data.share import SCHEMES
from flower_ops.training.data.sources import SOURCES
from flower_ops.training.forms import Form
from flower_ops.training.settings import FORMS, Settings

#: The keys of data/choice.py.
DATA: dict[str, Form] = {
    "data-source": forms.one_of(*SOURCES),
    "data-dir": forms.text(),
    "data-shared": forms.flag(),
    "partitioner": forms.one_of(*SCHEMES),
    "partition-alpha": forms.number(0, None, "above 0", open_low=True),
    "partition-seed": forms.whole(0, (1 << 32) - 1),
}


def read(run_config: Mapping[str, Any], own: Mapping[str, Form]) -> Settings:
    """The settings of a run configuration whose other keys are in order, too.

    own: forms of the app's own keys. Raises ValueError with all keys whose values have another form, and, where none
    has, as Settings.read does.
    """
    told = {**DATA, **own}
    if faults_of(run_config, told):
        faults = faults_of(run_config, {**told, **FORMS})
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ValueError(f"The run configuration has {count}: " + "; ".join(faults))
    return Settings.read(run_config)


def faults_of(run_config: Mapping[str, Any], wanted: Mapping[str, Form]) -> list[str]:
    """What is wrong with the values of keys that are there, as parts of a sentence."""
    found = []
    for key, form in wanted.items():
        expected = form(run_config[key])[1] if key in run_config else None
        if expected is not None:
            found.append(f"{key} = {run_config[key]!r}: expected {expected}")
    return found
