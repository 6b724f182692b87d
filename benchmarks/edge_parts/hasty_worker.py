# SPDX-License-Identifier: GPL-2.0-or-later
# Runs the program edge_agent/obd_process/worker.py with another schedule, under its licence; see there.
"""The OBD worker, asking for the fault lamp each second instead of each minute: changed trouble codes become frequent.

Nothing else differs: when the lamp or the number of codes changes, the worker asks for the codes at once.
"""

from edge_agent.obd_process import answers, worker

LAMP_EVERY_S = 1.0


def _hasty(offered: frozenset[int], can: bool) -> list[answers.Question]:
    questions = answers.schedule(offered, can)
    for each in questions:
        if each.name == "mil_on":
            each.pace_s = LAMP_EVERY_S
    return questions


if __name__ == "__main__":
    vars(worker)["schedule"] = _hasty
    worker.main()
