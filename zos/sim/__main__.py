"""`python -m zos.sim`: many random histories, or one of them told in full (`--seed N --tell`)."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from zos.sim.history import Result, play


def main() -> int:
    """Run, print, and return 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m zos.sim", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="how many histories")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--tell", action="store_true", help="tell what happened in one history, with its journal")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of texts are walked in an order that depends on it: the same seed must tell the same history.
        again = [sys.executable, "-m", "zos.sim", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - this program again
    if options.tell:
        return _tell(options.seed)
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    seeds = range(options.seed, options.seed + options.count)
    return report(_all(seeds, options.jobs), began)


def _all(seeds: range, jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(play, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(play, seeds, chunksize=4)


def report(histories: Iterable[Result], began: float) -> int:
    """Tell each violation as it comes, then the sums."""
    done: list[Result] = []
    for one in histories:
        done.append(one)
        for violation in one.violations:
            _say(f"seed {one.seed}: {violation}")
    bad = [one.seed for one in done if one.violations]
    _say(
        f"{len(done)} histories (seeds {done[0].seed}-{done[-1].seed}), {sum(one.contracts for one in done)} contracts "
        f"({sum(one.unclear for one in done)} without a claim), {sum(one.steps for one in done)} interruption points, "
        f"{sum(one.kills for one in done)} kills, {sum(one.virtual for one in done) / 3600:.1f} virtual hours; "
        f"{len(bad)} histories with violations; {time.perf_counter() - began:.1f} s"
    )
    if bad:
        _say(f"again with: python -m zos.sim --tell --seed {bad[0]}")
    return 1 if bad else 0


def _tell(seed: int) -> int:
    logging.basicConfig(level=logging.INFO, format="          %(name)s: %(message)s", stream=sys.stdout)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    result = play(seed)
    _say("\n".join(result.lines))
    for violation in result.violations:
        _say(f"VIOLATION {violation}")
    _say(f"{result.steps} steps, {result.virtual:.0f} virtual seconds, {result.seconds:.2f} s")
    return 1 if result.violations else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
