"""Build and check a release: what it holds, that it runs where nothing else is installed, and what it needs at least.

    pip install build twine && python tools/release.py         # `make release` does both
    pip install uv && python tools/release.py --lowest [TEST...] [--newer torch==2.13.*]

The first writes the wheel and the source archive to dist/, has twine check them, compares them with the files that git
tracks, installs the wheel alone into a fresh environment, and draws there, from another folder. The second installs the
lowest versions that pyproject.toml allows into a temporary environment and runs tests there, by default those of
LOWEST; `--newer` raises the requirement of a package whose lowest version cannot be had. PyPI's torch brings gigabytes
of GPU libraries: UV_TORCH_BACKEND=cpu uses PyTorch's own index, and UV_FIND_LINKS a folder of wheels. `--archives`
skips the fresh environment.
"""

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BESIDE = {"LICENSE", "NOTICE.md", "README.md", "pyproject.toml"}  # also in the source archive
LOWEST = ["base", "config", "data", "diffusion", "text", "networks", "generate", "export", "guide/test_build.py"]
TOOLS = ["freetype-py", "hypothesis", "opentype-sanitizer", "pytest", "scipy", "torchsde", "uharfbuzz"]  # for these


def run(*argv: str | Path, cwd: Path = ROOT) -> None:
    """Run a command without PYTHONPATH and VIRTUAL_ENV; exit with a message if it fails."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(word) for word in argv], cwd=cwd, env=clean, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(str(word) for word in argv)}")


def tracked() -> set[str]:
    """The files of the package that git tracks, relative to the root."""
    listed = subprocess.check_output(["git", "ls-files", "-z", "src/glyffuser"], cwd=ROOT, text=True)
    return set(listed.rstrip("\0").split("\0"))


def built(dist: Path) -> tuple[Path, Path]:
    """Make wheel and source archive anew, the wheel from the archive, so that both are complete or neither."""
    shutil.rmtree(dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", dist)
    (wheel,), (archive,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return wheel, archive


def differences(wheel: Path, archive: Path, expected: set[str]) -> list[str]:
    """What is missing from the wheel and the source archive, and what they hold that git does not track.

    expected: files of the package, as `tracked`.
    """
    with zipfile.ZipFile(wheel) as opened:
        packed = {f"src/{name}" for name in opened.namelist() if name.startswith("glyffuser/")}
    with tarfile.open(archive) as opened_archive:
        names = {name.partition("/")[2] for name in opened_archive.getnames()}
        sources = {name for name in names if name and opened_archive.getmember(f"{stem(archive)}/{name}").isfile()}
    own = {name for name in sources if name.startswith("src/glyffuser/")}
    found = [
        ("missing from the wheel", expected - packed),
        ("untracked in the wheel", packed - expected),
        ("missing from the archive", (expected | BESIDE) - sources),
        ("untracked in the archive", own - expected),
    ]
    return [f"{what}: {name}" for what, names in found for name in sorted(names)]


def stem(archive: Path) -> str:
    """The name of the folder in a source archive."""
    return archive.name.removesuffix(".tar.gz")


def try_out(wheel: Path) -> None:
    """Install a wheel alone into a fresh environment and draw two glyphs from another folder."""
    with tempfile.TemporaryDirectory() as folder:
        home, elsewhere = Path(folder) / "env", Path(folder) / "elsewhere"
        elsewhere.mkdir()
        venv.create(home, with_pip=True)
        run(home / "bin" / "pip", "install", "--quiet", wheel)
        run(home / "bin" / "glyffuser", "info", cwd=elsewhere)
        run(home / "bin" / "glyffuser", "sample", "gold", "-n", "2", "--steps", "10", cwd=elsewhere)
        for k in (0, 1):
            head = (elsewhere / "out" / f"gold-0-{k}.png").read_bytes()[:24]
            if head[:8] != b"\x89PNG\r\n\x1a\n" or struct.unpack(">II", head[16:]) != (128, 128):
                sys.exit(f"gold-0-{k}.png is no picture of 128 pixels")


def lowest(tests: list[str], newer: list[str]) -> None:
    """Run tests in a temporary environment with the lowest versions that pyproject.toml and `newer` allow."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "env"
        python = home / "bin" / "python"
        run("uv", "venv", "--python", sys.executable, home)
        least = ["--resolution", "lowest-direct"]
        run("uv", "pip", "install", "--python", python, *least, ".[export,guide,onnx,train]", *newer)
        run("uv", "pip", "install", "--python", python, *TOOLS)
        run("uv", "pip", "freeze", "--python", python)
        run(python, "-m", "pytest", *(str(Path("tests") / test) for test in tests))


def main() -> None:
    """Build and check, or test the lowest versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", action="store_true", help="build and compare only")
    parser.add_argument("--lowest", action="store_true", help="run tests with the lowest versions, and build nothing")
    parser.add_argument("--newer", action="append", default=[], help="with --lowest: a requirement, on top")
    parser.add_argument("tests", nargs="*", default=LOWEST, help="with --lowest: tests to run, in tests/")
    options = parser.parse_args()
    if options.lowest:
        lowest(options.tests, options.newer)
        return
    wheel, archive = built(ROOT / "dist")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, archive)
    if wrong := differences(wheel, archive, tracked()):
        sys.exit("\n".join(wrong))
    for path in (wheel, archive):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
    if not options.archives:
        try_out(wheel)


if __name__ == "__main__":
    main()
