"""How long torch's threads spin while they wait for one another (libgomp): long where nothing else runs, else briefly.

Beside another busy program a long spin makes everything many times slower. Alone on the machine a brief one costs a
third of the speed on some processors, where products are over so soon that threads would sleep and wake all the time.
docs/LOG.md, entries 11, 45 and 49, has the measurements.
"""

import time
from pathlib import Path

BRIEF, LONG = 2_000, 30_000  # libgomp's GOMP_SPINCOUNT; its own default is 300,000
LOOKS, PAUSE = 3, 0.002  # a moment's work of the system, such as a timer, is over at the next look; seconds
LOAD = Path("/proc/loadavg")


def spins(load: Path = LOAD) -> int:
    """LONG if at one of a few looks no other thread of the machine is running, BRIEF otherwise.

    `load`: Linux's account of that, of which the fourth word is "running/all threads"; where there is none, BRIEF.
    """
    for look in range(LOOKS):
        if look:
            time.sleep(PAUSE)
        try:
            running = int(load.read_text().split()[3].split("/")[0])
        except OSError:
            break
        if running <= 1:  # the thread that asks
            return LONG
    return BRIEF
