"""What AWS does and moto does not: one module a service, put over moto's own classes by importing it.

moto stays the wire protocol and the store. Each function here is one deviation, and its docstring is the
fact about AWS that it follows. Figures are in delays.py (what takes time) and throttle.py (what may be called how often),
what nobody knows in unconfirmed.py.
"""

from . import acm, ec2, elbv2, instances, record, route53, subnets, tagging, targets  # noqa: F401
