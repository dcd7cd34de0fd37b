# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that say where the cloud is and who asks."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.auth."""

    DOCUMENTATION = r"""
options:
  api_url:
    description:
      - XML-RPC endpoint of OpenNebula, for example V(http://one.example.org:2633/RPC2). V(/RPC2) is added where no
        path is given.
      - Taken from the environment variable E(ONE_URL), then E(ONE_XMLRPC), if not set. It must be set in one of these
        ways.
    type: str
  api_username:
    description:
      - User of the cloud. Taken from the environment variable E(ONE_USERNAME) if not set.
      - If neither user nor password is given, both are read from the file named by E(ONE_AUTH), or C(~/.one/one_auth).
    type: str
  api_password:
    description:
      - Password or login token of O(api_username). Taken from the environment variable E(ONE_PASSWORD) if not set.
    type: str
  api_timeout:
    description:
      - Seconds that one request may take.
    type: int
    default: 30
  validate_certs:
    description:
      - Whether the certificate of an C(https) endpoint is verified.
    type: bool
    default: true
  ca_path:
    description:
      - File (or folder) with the certificates of the authorities to trust instead of the default ones.
    type: path
  oneflow_url:
    description:
      - Endpoint of OneFlow, for example V(http://one.example.org:2474).
      - Taken from the environment variable E(ONEFLOW_URL) if not set; otherwise the host of O(api_url) on port 2474.
    type: str
requirements:
  - pyone >= 6.10
notes:
  - The proxy variables of the environment are honoured, except for endpoints on this machine.
"""
