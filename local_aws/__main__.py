"""`python -m local_aws [SPEED]`: the local AWS in the foreground, with what a shell needs to use it."""

import shlex
import signal
import sys

from .local import LocalAws

AWS_SECONDS_A_SECOND = 10.0


def main() -> None:
    """Run until Ctrl-C, or until asked to end."""
    speed = float(sys.argv[1]) if len(sys.argv) > 1 else AWS_SECONDS_A_SECOND
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with LocalAws(speed) as aws:
        print("unset AWS_PROFILE AWS_SESSION_TOKEN")
        for name, value in aws.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        print(
            f"# Load balancers listen where {aws.front_url} says; {aws.authority.root_file} signs for them."
        )
        host, _, port = aws.dns_address.partition(":")
        print(f"# Its hosted zones answer: dig @{host} -p {port} api.example.com")
        print(f"# The local AWS runs until Ctrl-C, {speed:g} AWS seconds a second.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
