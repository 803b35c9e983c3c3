"""AWS time: what AWS takes time for, in AWS seconds.

AWS promises none of these; they are figures that have been seen. The deregistration delay is not among them: it is an
attribute of each target group.
"""

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
TAGS_KNOWN = 180  # the tags of what is made until IAM knows them, where it does not at once
