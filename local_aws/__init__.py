"""The local AWS: MiniStack runs what is ours, moto with a strict layer is the AWS it works on.

    with LocalAws() as aws:                 # local.py; at infinite speed, or LocalAws(speed=10)
        aws.client("elbv2")                 # boto3, on the right server
        aws.environment                     # for any other client: the SAM CLI, the AWS CLI, Terraform
        aws.calls(), aws.invocations()      # who called what; which function ran
        aws.front(), aws.authority          # where load balancers really listen; who signs their certificates
        aws.ask("api.w1.test", "A")         # DNS, as a resolver of the internet finds it in Route 53's zones
        aws.delegate("w1.test", [...])      # which name servers the internet has for a zone
        aws.reach("127.64.0.1:443")         # who really answers at an address that DNS gives
        aws.speed = 0; aws.advance(60)      # AWS's clock, in AWS seconds
        aws.fault("lost", "CreateVpc")      # strict/faults.py: what may happen to a call
        aws.throttle(); aws.page_size = 2   # calls no faster than AWS takes them; lists in small pages
        aws.seed = 7                        # another of the answers that AWS may give, where nobody knows
        aws.tags_lag = True                 # IAM learns late of the tags of what was made
        aws.reset()                         # an empty account again; what is deployed stays

`python -m local_aws` keeps one in the foreground. moto_server.py and ministack_server.py are the two processes,
strict/ is what AWS does and moto does not, front.py is the load balancers' traffic, nameserver.py answers DNS. An instance
with the tag `local:backend` = `127.0.0.1:PORT` is as healthy as what answers there, and that is where its requests go;
`8080=127.0.0.1:PORT` is there on that port alone. world.py makes a user's own things, visitor.py is who visits them.
"""
