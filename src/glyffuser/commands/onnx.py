"""`glyffuser onnx`: write a model as ONNX files."""

from dataclasses import dataclass
from pathlib import Path

from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, importing, need_extra, open_pipeline, print_results


@dataclass
class Onnx:
    """Write a model as ONNX files, which run without torch: denoiser, text encoder, and what a sampler needs.

    Example: glyffuser onnx --out onnx/ --precision int8

    Each file is run once and compared with torch. docs/ONNX.md shows how to draw with them.
    """

    out: Path = Path("onnx")
    """Folder for the files."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    precision: str = "fp32"
    """fp32, fp16 (half the size), or int8 (a quarter of the size, and quicker on a CPU)."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        need_extra("onnx", "onnx", "onnxruntime", "onnxscript")
        with importing():
            from glyffuser.export.onnx import SETTINGS, TOKENIZER, check, export_onnx

        check(self.precision)
        pipe = open_pipeline(self.model)
        with Progress("exporting") as progress:
            written = export_onnx(pipe, self.out, self.precision, progress.at)
        facts = [
            {"file": str(file.path), "bytes": file.bytes, "difference": float(f"{file.difference:.2g}")}
            for file in written
        ]
        lines = [
            f"{file.path}: {file.bytes / 1e6:.1f} MB, differs from torch by at most {file.difference:.1g}"
            for file in written
        ]
        beside = [str(self.out / name) for name in (TOKENIZER, SETTINGS)]
        print_results(self.json, {"files": facts, "beside": beside}, [*lines, *beside])
