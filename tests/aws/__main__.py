"""`python -m tests.aws [SPEED]`: the local AWS in the foreground, with the lines that a shell needs to use it."""

import signal
import sys

from .local import LocalAws


def main() -> None:
    speed = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with LocalAws(speed) as aws:
        print("unset AWS_PROFILE AWS_SESSION_TOKEN")
        for name, value in aws.environment.items():
            print(f"export {name}={value}")
        print("# The local AWS runs until Ctrl-C.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
