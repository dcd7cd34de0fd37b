# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The `flwr` command, many times in one process: importing Flower costs more than most of what it then does.

Standard input has one JSON list of arguments per line; what the command prints is followed by a line of its own, END.
"""

from __future__ import annotations

import json
import sys
import traceback
from importlib.metadata import entry_points

END = "--- end of flwr command ---"


def main() -> int:
    """Run commands until standard input ends; returns the exit code of this process, not theirs."""
    # The same function that the script bin/flwr calls.
    (script,) = entry_points(group="console_scripts", name="flwr")
    command = script.load()
    for line in sys.stdin:
        sys.argv = ["flwr", *json.loads(line)]
        try:
            command()
        except SystemExit:
            pass
        except Exception:
            traceback.print_exc(file=sys.stdout)
        print(f"\n{END}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
