"""`python -m tests.soak`: the whole of it from the command line; the last line is one JSON object.

python -m tests.soak --faults 2000 --minutes 45
python -m tests.soak --seed 7 --from 300 --faults 2000 --minutes 45       as a failure of seed 7 said
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from tests.soak.report import as_json, table
from tests.soak.soak import Soak, Wanted, draw_seed, stderr

_SETTING_UP_MIN = 1.0
_A_REST_MIN = 0.15  # measured: 1 to 15 s


def main() -> int:
    """The exit status is 0 where everything held, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--minutes", type=float, default=45.0, help="how long all of it may take (default: 45)")
    parser.add_argument("--seed", type=int, default=None, help="of the schedule (default: drawn, and told)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="begin at this step of the schedule")
    parser.add_argument("--rest-every", type=int, default=100, help="faults between two rests (default: 100)")
    parser.add_argument("--keep", action="store_true", help="keep the folder; it is always kept after a failure")
    parser.add_argument("--json", action="store_true", help="no table, only the last line")
    told = parser.parse_args()
    seed = draw_seed() if told.seed is None else told.seed
    rests = told.faults / told.rest_every
    pace_s = max(0.1, (told.minutes - _SETTING_UP_MIN - rests * _A_REST_MIN) * 60 / told.faults)
    home = Path(tempfile.mkdtemp(prefix="pledgewatch-soak-"))
    stderr(f"seed {seed}, {told.faults} faults, {pace_s:.2f} s apart, in {home}")
    soak = Soak(home, Wanted(seed, told.faults, pace_s, told.rest_every, told.first), stderr)
    try:
        outcome = soak.run()
        figures = as_json(soak)
    finally:
        soak.close()
    if not told.json:
        stderr(table(figures))
    if outcome.failures:
        again = f"--seed {seed} --from {outcome.rest_began_at} --faults {told.faults} --minutes {told.minutes:g}"
        stderr(f"failed at step {outcome.last_step}; again from the last rest that went well: {again}")
        stderr(f"logs and databases are in {home}")
    elif not told.keep:
        shutil.rmtree(home)
    print(json.dumps(figures))
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
