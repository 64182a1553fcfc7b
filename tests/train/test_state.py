"""What a run takes over from its checkpoint besides weights: of which data it has learnt, and the scale of its loss."""

import json
import shutil
from collections.abc import Callable

import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator
from pyarrow import parquet

from glyffuser.base.errors import UserError
from glyffuser.train.checkpoint import list_checkpoints
from training_runs import Run, finish, resumed_exactly


def test_a_data_set_that_was_built_anew_with_other_contents_is_noticed(tiny_config, tiny_data, tmp_path):
    path, run = tmp_path / "glyphs.parquet", tmp_path / "run"
    shutil.copyfile(tiny_data, path)
    tiny_config.data.path, tiny_config.train.max_steps = str(path), 1
    finish(Run(tiny_config, run))
    table = parquet.read_table(path)
    parquet.write_table(table, path)  # other bytes of the same contents
    Run(tiny_config, run)
    column = table.schema.get_field_index("definition")
    others = pa.array(["another meaning", *table["definition"].to_pylist()[1:]])
    parquet.write_table(table.set_column(column, table.schema.field(column), others), path)
    with pytest.raises(UserError, match=f"data set has changed since the run in {run} began; build it again") as caught:
        Run(tiny_config, run)
    assert "\n" not in str(caught.value)
    (checkpoint,) = list_checkpoints(run / "checkpoints")
    facts = json.loads((checkpoint / "state.json").read_text())
    del facts["data"]  # as in older checkpoints
    (checkpoint / "state.json").write_text(json.dumps(facts))
    (checkpoint / "SHA256SUMS").unlink()
    assert Run(tiny_config, run).state.step == 1


def test_the_scale_of_a_loss_goes_on_where_it_was(tiny_config, tmp_path, monkeypatch):
    """In fp16, which a CPU has not, losses are scaled; the scale grows every few steps."""
    tiny_config.train.max_steps = 6
    monkeypatch.setattr(Accelerator, "__init__", scaled(Accelerator.__init__))
    whole, resumed = resumed_exactly(tiny_config, tmp_path, stop_at=4)
    assert whole.state.scaler.state_dict() == resumed.state.scaler.state_dict()
    assert whole.state.scaler.get_scale() == 4.0 * 2**2


def scaled(init: Callable[..., None]) -> Callable[..., None]:
    def begin(self: Accelerator, *args: object, **more: object) -> None:
        init(self, *args, **more)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=3)

    return begin
