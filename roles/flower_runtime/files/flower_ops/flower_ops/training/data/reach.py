# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the Hugging Face Hub answers. Its libraries try for minutes before they say that it does not."""

from __future__ import annotations

import os
import urllib.error
import urllib.request

from flower_ops.training.data.limits import within

#: Seconds in which it must answer.
REACH_S = 5.0
NO = ("", "0", "no", "false", "off")


def hub_answers(*offline: str) -> bool:
    """Whether it does; without asking, no, where one of these variables says that nobody is to ask."""
    if any(os.environ.get(variable, "").lower() not in NO for variable in offline):
        return False
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        request = urllib.request.Request(address, method="HEAD")
        within(REACH_S, lambda: urllib.request.urlopen(request, timeout=REACH_S).close())
    except urllib.error.HTTPError:
        # It said no to the question, but it is there.
        return True
    except (OSError, ValueError, TimeoutError):
        return False
    return True
