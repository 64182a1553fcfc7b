"""How long torch's threads spin while they wait for one another (libgomp): long if nothing else runs, else briefly.

Beside another busy program, a long spin makes everything many times slower. Alone on the machine, a brief one costs a
third of the speed on some processors, where products finish so soon that threads would keep falling asleep and waking.
docs/LOG.md, entries 11, 45 and 49, has the measurements.
"""

import time
from pathlib import Path

BRIEF, LONG = 2_000, 30_000  # libgomp's GOMP_SPINCOUNT; its own default is 300,000
LOOKS, PAUSE = 3, 0.002  # brief work of the system, such as a timer, is over by the next look; seconds
LOAD = Path("/proc/loadavg")


def spins(load: Path = LOAD) -> int:
    """LONG if one of a few looks finds no other thread running on the machine, BRIEF otherwise.

    `load`: Linux's load file, whose fourth word is "running/all threads"; BRIEF if there is none.
    """
    for look in range(LOOKS):
        if look:
            time.sleep(PAUSE)
        try:
            running = int(load.read_text().split()[3].split("/")[0])
        except OSError:
            break
        if running == 1:  # only the thread that asks; some sandboxes always say 0
            return LONG
    return BRIEF
