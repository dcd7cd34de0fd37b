# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module in this process as Ansible would; as a program, run one for each line that comes in.

A line is {"module": …, "params": …, "at": …}: two such programs begin at the same time, to race each other.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.opennebula.flower.plugins.modules"


class ModuleResult(dict):
    """The JSON that a module printed; `ok` is False when it failed. calls: how often it made which, see Cloud.run."""

    calls: dict[str, int] = {}

    @property
    def ok(self) -> bool:
        return not self.get("failed", False)

    @property
    def without_polls(self) -> int:
        """The number of calls, looks at one object but the last one left out: these are polls."""
        return sum(1 if name.endswith(".info") and "pool" not in name else n for name, n in self.calls.items())


def run_module(name: str, params: dict[str, Any], check: bool = False) -> ModuleResult:
    """Run main() of a module as Ansible would, arguments and no_log handling included, and return what it printed."""
    arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp"}
    module = importlib.import_module(f"{MODULES}.{name}")
    printed = io.StringIO()
    # A module process has one set of parameters; here many run in turn, so their shared memory is cleared.
    with (
        patch_module_args(arguments),
        mock.patch.object(basic.AnsibleModule, "_log_invocation"),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
        raise AssertionError(f"{name} came back without an exit")
    return ModuleResult(json.loads(printed.getvalue().strip().splitlines()[-1]))


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 15) -> Any:
    """Return the first true value of `condition`, which is asked again and again; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def main() -> None:
    """Answer each line with the result of that module."""
    for line in sys.stdin:
        task = json.loads(line)
        importlib.import_module(f"{MODULES}.{task['module']}")
        time.sleep(max(0.0, task["at"] - time.time()))
        print(json.dumps(run_module(task["module"], task["params"])), flush=True)


if __name__ == "__main__":
    main()
