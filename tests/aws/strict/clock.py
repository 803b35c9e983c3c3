"""AWS time: what AWS takes time for, in AWS seconds, on a clock that can be sped up, stopped and moved.

AWS promises none of these; they are figures that have been seen. The deregistration delay is not among them: it is an
attribute of each target group.
"""

import math
import time

RECORDS = 5  # RequestCertificate until DescribeCertificate shows the validation records
VALIDATED = 50  # the validation CNAME stands until its ValidationStatus is SUCCESS
ISSUED = 60  # the validation CNAME stands until the certificate is ISSUED: some time after SUCCESS
ACTIVE = 150  # CreateLoadBalancer until the load balancer is active
TARGET_INITIAL = 10  # RegisterTargets until the first health check counts
INTERFACES = 60  # DeleteLoadBalancer until its network interfaces are gone
VALIDATION_TIME_OUT = 72 * 3600  # RequestCertificate until ACM gives up on the validation records
TERMINATED = 3600  # TerminateInstances until the instance is forgotten
IN_USE = 30  # the last listener is gone until ACM takes the load balancer out of InUseBy
IN_SYNC = 30  # ChangeResourceRecordSets until GetChange says INSYNC
TOKEN = 3600  # an idempotency token of RequestCertificate means the same request for so long


class Clock:
    """Runs at `speed` AWS seconds per real second; at infinite speed every delay has already passed."""

    def __init__(self) -> None:
        self._speed = math.inf
        self._aws = 0.0
        self._real = time.monotonic()

    def now(self) -> float:
        """AWS seconds since the start; at infinite speed they pass as real ones do."""
        rate = 1.0 if math.isinf(self._speed) else self._speed
        return self._aws + (time.monotonic() - self._real) * rate

    def age(self, moment: float) -> float:
        """AWS seconds since `moment`; to the microsecond, as a sum of seconds can fall short of itself by less."""
        return round(self.now() - moment, 6)

    def passed(self, moment: float, delay: float) -> bool:
        """Whether what takes `delay` AWS seconds from `moment` on is done."""
        return math.isinf(self._speed) or self.age(moment) >= delay

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._aws, self._real = self.now(), time.monotonic()
        self._speed = speed

    def advance(self, seconds: float) -> None:
        """Let so many AWS seconds pass at once."""
        self._aws += seconds


clock = Clock()
