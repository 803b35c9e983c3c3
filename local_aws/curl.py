"""The real curl, sent to where a load balancer of the local AWS listens."""

import os
import shlex
import subprocess
from dataclasses import dataclass
from urllib.parse import urlsplit

from .local import LocalAws

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Curl:
    """One run of curl: what was typed, and what it wrote."""

    command: str
    output: str

    @property
    def status(self) -> int:
        """The answer's status; 0 where there was none."""
        words = self.output.split(maxsplit=2)
        return int(words[1]) if len(words) > 1 and words[0].startswith("HTTP/") else 0

    def header(self, name: str) -> str | None:
        """One header of the answer."""
        for line in self.output.splitlines():
            found, _, value = line.partition(": ")
            if found.lower() == name.lower():
                return value
        return None


def curl(aws: LocalAws, dns_name: str, url: str) -> Curl:
    """Request a URL of the domain through the load balancer, with no word of DNS.

    curl's --resolve takes an address but no port; --connect-to takes both, and leaves URL and server name as they are.
    """
    parts = urlsplit(url)
    port = PORTS[parts.scheme]
    command = ["curl", "--include", "--silent", "--show-error"]
    if parts.scheme == "https":
        command += ["--cacert", str(aws.authority.root_file)]
    command += ["--connect-to", f"{parts.hostname}:{port}:{aws.front()[f'{dns_name}:{port}']}", url]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return Curl(shlex.join(command), done.stdout)
