# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option of what the roles of a service shall be."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.service_roles."""

    DOCUMENTATION = r"""
options:
  roles:
    description:
      - What shall differ from the template, and what the roles of a service that lives shall be.
      - On a service that lives, the VMs of roles in O(roles[].state=running) are started first, then roles are added,
        scaled and removed, and last the VMs of roles with another state are stopped.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      cardinality:
        description:
          - Number of VMs. A living service is scaled to it, which must be within the bounds of the role unless
            O(force).
          - A service can only be scaled while it is RUNNING. One that cools down, or is being changed, is waited for.
        type: int
      min_vms:
        description:
          - Least number of VMs of the role. Together with O(roles[].cardinality) the number of VMs counts that is asked
            for; without it, that of the VMs that there are, which must be within the bounds.
          - This and the next four can be changed while the service is RUNNING, WARNING or on hold. A service that cools
            down, or is being changed, is waited for. What is not given stays as it is.
        type: int
      max_vms:
        description: Greatest number of VMs of the role.
        type: int
      cooldown:
        description:
          - Seconds between the end of a scaling and the next one. OneFlow sets it to that of an elasticity policy which
            has one of its own whenever that policy scales.
        type: int
      elasticity_policies:
        description:
          - The complete list of the rules by which OneFlow scales the role after what its VMs report, in the keys of
            OneFlow (C(type), C(adjust), C(expression), C(min_adjust_step), C(period), C(period_number), C(cooldown)).
            The first one that applies counts. An empty list removes all.
          - Policies need O(roles[].min_vms) and O(roles[].max_vms), here or in the service template.
        type: list
        elements: dict
      scheduled_policies:
        description:
          - The complete list of the rules by which OneFlow scales the role at certain times, in the keys of OneFlow
            (C(type), C(adjust), C(min_adjust_step), and C(start_time) or C(recurrence)). An empty list removes all.
        type: list
        elements: dict
      state:
        description:
          - State of the VMs of the role. V(running) resumes those that do not run. V(poweroff), V(suspended),
            V(stopped) and V(undeployed) stop those that do. The waits of the task leave such a role alone.
          - V(rebooted) reboots them, every time. That they came back is not waited for.
          - V(absent) removes the role and its VMs from the service.
          - OneFlow schedules such an action on every VM of the role and reports success whatever comes of it. The VMs
            themselves are looked at before and, unless O(wait=false), after it.
        type: str
        choices: [running, poweroff, suspended, stopped, undeployed, rebooted, absent]
      definition:
        description:
          - The role as in O(opennebula.flower.one_service_template#module:template), for a role that the service does
            not have. It is added once the service is RUNNING. A role that is there already is not changed by it.
        type: dict
      template_contents:
        description:
          - Attributes that override those of the VM template. Only used when the service is started. OneFlow adds lists
            such as C(NIC) to those of the service template instead of replacing them.
        type: dict
      user_inputs_values:
        description: Values of the user inputs of the role. Only used when the service is started.
        type: dict
"""
