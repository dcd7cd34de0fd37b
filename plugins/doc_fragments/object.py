# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that images and VM templates share."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.object."""

    DOCUMENTATION = r"""
options:
  id:
    description:
      - Id of an existing object; V(0) is an id like any other. One of O(id) and O(name) is required.
    type: int
  name:
    description:
      - Name of the object. A name that means several objects is an error that lists their ids and owners.
      - An object of another owner that this user may use counts too, so that no duplicate is made of it. Give O(owner)
        to say which one is meant.
    type: str
  new_name:
    description:
      - Name that the object shall have. An object that has it already is left as it is.
    type: str
  owner:
    description:
      - Name of the owner. Together with O(name) only objects of that user are looked at. An object with another owner,
        found by O(id) or just created, is given to that user.
    type: str
  group:
    description:
      - Name of the group that the object shall belong to.
    type: str
  permissions:
    description:
      - Permissions as three octal digits in quotes, for owner, group and others; use is 4, manage 2, admin 1.
    type: str
  labels:
    description:
      - The complete list of labels. Labels are not touched if this is not given.
    type: list
    elements: str
  remove_attributes:
    description:
      - Names of attributes to remove. C(CONTEXT.START_SCRIPT) removes one key of a vector, C(NIC[NETWORK=private])
        those vectors of a repeated attribute that have this value; several values are separated by commas.
    type: list
    elements: str
    default: []
  clone_from:
    description:
      - Name or id of an object to clone, if the wanted one does not exist yet.
    type: str
  lock:
    description:
      - What OpenNebula shall refuse to everybody, administrators included, until the object is unlocked. V(use) forbids
        to use, change and delete it, V(manage) to change and delete it, V(admin) only what takes ADMIN rights.
        V(all) is another word for V(use). V(none) unlocks it before all other changes.
      - An object that has the lock already is unlocked for the changes of this task and locked again. If this option is
        not given, OpenNebula refuses the changes that a lock forbids.
      - With O(state=absent) only V(none) has an effect.
    type: str
    choices: [none, use, manage, admin, all]
  state:
    description:
      - Whether the object shall exist.
    type: str
    choices: [present, absent]
    default: present
"""
