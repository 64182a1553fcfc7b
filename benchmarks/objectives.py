"""What a network should predict, and under which noise schedule: each trained for the same short time, and evaluated.

    python benchmarks/objectives.py [--minutes 20] [--preset cpu] [--out runs/objectives] [--set section.key=value]...

Every row starts from the same seed, so from the same weights, tower and glyphs, and trains for the same number of
minutes (resuming if its folder holds part of the run) or, with `--minutes 0 --set train.max_steps=N`, for N steps;
`zero` rows end in nothing but noise. All share the preset's weighting of noise levels except `epsilon`, which has its
own, "simple" (Ho et al. 2020), because the preset's counts errors of the clean image, which are those of the noise
times sigma; `--set diffusion.weighting=...` applies to all rows. Then the model is measured as by `glyffuser evaluate
--quick`, and one line is printed: steps taken, last mean loss (of its own objective, so not comparable), hit rate,
flagged share, precision, recall and Fréchet distance of the recogniser's features. Full tables go to
<out>/<row>/evaluation. `--evaluate 0` skips the evaluation, `--evaluate N` takes N held-out definitions. `--only` keeps
the rows whose name contains a text.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from trials import Scorer, train

from glyffuser.base.names import PREDICTION_TYPES, SCHEDULES
from glyffuser.config import Config, override, preset
from glyffuser.evaluate.artist import QUICK
from glyffuser.text.tower import TextTower
from glyffuser.train.folder import RunFolder

Objective = tuple[str, str, bool]  # schedule, what is predicted, whether the last timestep is noise alone
ROWS: list[Objective] = [
    *((schedule, kind, False) for schedule in SCHEDULES for kind in PREDICTION_TYPES),
    *((schedule, kind, True) for schedule in ("linear", "cosine") for kind in ("v_prediction", "sample")),
]


def name_of(objective: Objective) -> str:
    """ "linear-v_prediction-zero"."""
    schedule, kind, zero = objective
    return "-".join([schedule, kind, *(["zero"] if zero else [])])


def configured(base: str, objective: Objective, minutes: float, changes: list[str]) -> Config:
    """The configuration of a row's run."""
    schedule, kind, zero = objective
    told = [f"diffusion.schedule={schedule}", f"diffusion.prediction_type={kind}"]
    told += [f"diffusion.zero_terminal={str(zero).lower()}", f"train.max_minutes={minutes}"]
    told += ["diffusion.weighting=simple"] if kind == "epsilon" else []
    return override(preset(base), [*told, *changes])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20, help="of training, a row")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/objectives"))
    parser.add_argument("--set", action="append", default=[], help="section.key=value, for every row")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument(
        "--evaluate", type=int, default=QUICK.definitions, help="held-out definitions; 0 = no evaluation"
    )
    options = parser.parse_args()
    rows = [row for row in ROWS if options.only in name_of(row)]
    settings = dataclasses.replace(QUICK, definitions=options.evaluate)
    scorer = Scorer(override(preset(options.preset), options.set).data.path, settings)
    columns = ["hits %", "flagged %", "precision %", "recall %", "Fréchet"] if options.evaluate else []
    print(f"{'objective':28} {'steps':>6} {'loss':>8}" + "".join(f" {column:>11}" for column in columns), flush=True)
    tower: TextTower | None = None
    for row in rows:
        config, out = configured(options.preset, row, options.minutes, options.set), options.out / name_of(row)
        steps, loss = train(config, out, tower)
        tower = tower or RunFolder(out, config).tower()  # the same for every objective
        line = f"{name_of(row):28} {steps:6} {loss:8.4f}"
        if options.evaluate:
            found = scorer(out)
            fake = found["distribution"]["generated"]
            shares = [found["meaning"]["rate"], found["plausibility"]["flagged"], fake["precision"], fake["recall"]]
            line += "".join(f" {100 * share:11.1f}" for share in shares) + f" {fake['frechet']:11.2f}"
        print(line, flush=True)
        with (options.out / "table.jsonl").open("a") as file:
            file.write(json.dumps({"objective": name_of(row), "minutes": options.minutes, "line": line}) + "\n")


if __name__ == "__main__":
    main()
