"""Puts the other engines into a cache folder: Flink from its Python package, pyclink into a virtual environment."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FLINK_VERSION = "2.3.0"
PYCLINK_VERSION = "0.12.2"
OURS = Path(__file__).resolve().parents[1] / "flink"
SERVICE = "META-INF/services/org.apache.flink.table.factories.Factory"


def flink(cache: Path, version: str = FLINK_VERSION) -> list[str]:
    """The class path of Flink and of our own classes, installed and compiled where they are not yet."""
    home = cache / f"flink-{version}"
    if not (home / "complete").exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as directory:
            package = f"apache-flink-libraries=={version}"
            _call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", directory, package])
            for wheel in Path(directory).iterdir():
                _unpack(wheel, home)
        (home / "complete").touch()
    jars = sorted(str(jar) for jar in home.glob("*.jar"))
    sources = sorted(OURS.glob("*.java"))
    version_of_sources = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    classes = home / f"launcher-{version_of_sources}"
    if not (classes / SERVICE).exists():
        _call(["javac", "-nowarn", "-cp", ":".join(jars), "-d", str(classes), *map(str, sources)])
        (classes / SERVICE).parent.mkdir(parents=True)
        (classes / SERVICE).write_text("NexmarkTable\n")
    return [str(classes), *jars]


def pyclink(cache: Path, version: str = PYCLINK_VERSION) -> str:
    """The Python that has pyclink."""
    home = cache / f"pyclink-{version}"
    python = home / "bin/python"
    if not (home / "complete").exists():
        _call([sys.executable, "-m", "venv", str(home)])
        _call([str(python), "-m", "pip", "install", "-q", f"pyclink=={version}"])
        (home / "complete").touch()
    return str(python)


def _unpack(wheel: Path, home: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if "/lib/" in name and name.endswith(".jar"):
                (home / Path(name).name).write_bytes(archive.read(name))


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)
