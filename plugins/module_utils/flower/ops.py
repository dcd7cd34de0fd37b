# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Call of the command `flower-ops` on the machine that a module runs on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

BINARY = "/opt/flower/venv/bin/flower-ops"


def call(module: AnsibleModule, binary: str, arguments: list[str], data: str = "") -> tuple[int, dict[str, Any]]:
    """Run `binary arguments` with `data` on standard input; returns its exit code and its JSON answer.

    Ends the module with one sentence when the command is missing or answers no JSON. Input never shows up in output.
    """
    try:
        code, output, errors = module.run_command(
            [binary, *arguments], data=data, binary_data=False, handle_exceptions=False
        )
    except BrokenPipeError:
        module.fail_json(
            msg=f"{binary} {arguments[0]} ended without reading its input; run it on this host to see why, and apply "
            "the role opennebula.flower.flower_runtime again."
        )
    except OSError as error:
        module.fail_json(
            msg=f"Cannot start {binary} on this host ({error.strerror}); "
            "apply the role opennebula.flower.flower_runtime first."
        )
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        last = (errors.strip().splitlines() or ["it printed nothing"])[-1]
        module.fail_json(
            msg=f"{binary} {arguments[0]} gave no usable answer (exit code {code}): {last} "
            "Apply the role opennebula.flower.flower_runtime again if its version does not fit this collection."
        )
    return code, answer


def finish(module: AnsibleModule, code: int, answer: dict[str, Any], **results: Any) -> None:
    """End the module with the answer of flower-ops: its diff, its warnings, or its sentence when it failed."""
    for warning in answer.get("warnings", []):
        module.warn(warning)
    changed = bool(answer.get("changed"))
    if module._diff and answer.get("diff"):  # pylint: disable=protected-access
        results["diff"] = answer["diff"]
    if code:
        module.fail_json(
            msg=answer.get("message") or f"flower-ops failed with exit code {code}.",
            changed=changed,
            errors=answer.get("errors", []),
            **results,
        )
    module.exit_json(changed=changed, **results)
