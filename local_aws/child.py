"""A server in a child process: it says its port on its first line and ends when its standard input does."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STOP_SECONDS = 15


class Child:
    """The parent's side. The child leads its own process group, so that nothing it started outlives it."""

    def __init__(self, module: str, arguments: list[str], environment: dict[str, str]):
        self._output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
        first_line = self.process.stdout.readline()
        if not first_line:
            self.stop()
            raise RuntimeError(f"{module} did not start:\n{self.output()}")
        self.port: int = json.loads(first_line)["port"]
        self.url = f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        """All that the child has written to its standard error so far."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def stop(self) -> None:
        """Ask by closing its input; what is still there of its group after that is killed."""
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()


def announce(port: int) -> None:
    """The child's side: tell the parent that the port listens."""
    print(json.dumps({"port": port}), flush=True)


def when_parent_ends(action) -> None:
    """The child's side: run `action` once standard input ends, as it does when the parent stops or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it closes our input

    def watch() -> None:
        sys.stdin.buffer.read()
        action()

    threading.Thread(target=watch, daemon=True).start()
