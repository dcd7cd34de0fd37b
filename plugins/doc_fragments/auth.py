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
      - Password or login token of O(api_username); it may contain colons. Taken from the environment variable
        E(ONE_PASSWORD) if not set.
    type: str
  api_timeout:
    description:
      - Seconds that one request may take, from the connection to the last byte of the answer.
    type: int
    default: 30
  validate_certs:
    description:
      - Whether the certificate of an C(https) endpoint is verified.
    type: bool
    default: true
  ca_path:
    description:
      - File or folder with the certificates of the authorities to trust instead of those of the system, in PEM form,
        for O(api_url) and O(oneflow_url) alike.
      - In a folder, files named C(*.pem), C(*.crt) or C(*.cer) count, and those prepared by C(openssl rehash).
      - If not given, the environment variables E(REQUESTS_CA_BUNDLE) and E(CURL_CA_BUNDLE) count.
    type: path
  client_cert:
    description:
      - PEM file with the certificate to present to servers that want one from their clients. It may hold the key too.
    type: path
  client_key:
    description:
      - PEM file with the key of O(client_cert), without a passphrase.
    type: path
  oneflow_url:
    description:
      - Endpoint of OneFlow, for example V(http://one.example.org:2474).
      - Taken from the environment variable E(ONEFLOW_URL) if not set; otherwise the host of O(api_url) on port 2474.
    type: str
requirements:
  - pyone >= 6.10
notes:
  - The variables E(http_proxy), E(https_proxy), E(all_proxy) and E(no_proxy) of the environment are honoured, except
    for endpoints on this machine. A proxy may want a user and a password, C(http://user:password@host:port); other
    kinds than C(http) proxies are refused.
  - A request that only reads is made again, twice at most, when the connection breaks or a proxy says 502, 503 or 504.
    One that writes never is, because its outcome is unknown; the module fails then and says so. Run the task again, it
    looks first at what is there.
"""
