"""Runs a program, and tells what it used: seconds, CPU seconds, peak memory."""

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path


class Refused(Exception):
    """An engine cannot run a query; the text is its own message."""


@dataclass
class Usage:
    """What one run took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass
class Finished:
    """A program that has ended well: its files of output and what the whole process used."""

    output: str
    usage: Usage


def run(command: list[str], timeout_s: float, output: str | None = None, cwd: str | None = None) -> Finished:
    """Runs a program to its end. Its standard output goes to the file `output`, else it is returned.

    Peak memory is the kernel's figure for the process and its children. Raises Refused with the end of standard error
    where the program fails or takes too long.
    """
    with tempfile.TemporaryDirectory() as directory:
        out_path, err_path = output or os.path.join(directory, "out"), os.path.join(directory, "err")
        with open(out_path, "wb") as out, open(err_path, "wb") as err:
            start = time.monotonic()
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd)
            killer = threading.Timer(timeout_s, child.kill)
            killer.start()
            _, status, used = os.wait4(child.pid, 0)
            seconds = time.monotonic() - start
            killer.cancel()
            child.returncode = os.waitstatus_to_exitcode(status)
        if seconds >= timeout_s:
            raise Refused(f"took more than {timeout_s:.0f} s")
        if child.returncode != 0:
            raise Refused(reason(Path(err_path).read_text(errors="replace")))
        text = "" if output else Path(out_path).read_text(errors="replace")
    return Finished(text, Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024))


def reason(text: str) -> str:
    """The line of an error's output that says most: the innermost cause, else the first error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    errors = [line for line in lines if "Exception" in line or "Error: " in line or line.startswith("ERROR")]
    line = causes[-1] if causes else errors[0] if errors else lines[-1] if lines else "failed without a word"
    return line.removeprefix("Caused by: ").removeprefix('Exception in thread "main" ')[:300]
