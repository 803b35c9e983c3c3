"""AWS's time on a clock that can be sped up, stopped and moved: each of the two servers has one."""

import math
import time


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

    def change(self, body: dict) -> None:
        """As a request to a server's control path says: another `speed`, or an `advance`."""
        if "speed" in body:
            self.speed = float(body["speed"])
        self.advance(float(body.get("advance", 0)))

    def advance(self, seconds: float) -> None:
        """Let so many AWS seconds pass at once."""
        self._aws += seconds


clock = Clock()
