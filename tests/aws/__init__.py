"""The local AWS: MiniStack runs what is ours, moto with a strict layer is the AWS it works on.

    with LocalAws() as aws:                 # local.py; at infinite speed, or LocalAws(speed=10)
        aws.client("elbv2")                 # boto3, on the right server
        aws.environment                     # for any other client: the SAM CLI, the AWS CLI, Terraform
        aws.calls(), aws.invocations()      # who called what; which function ran
        aws.front(), aws.authority          # where load balancers really listen; who signs their certificates
        aws.speed = 0; aws.advance(60)      # AWS's clock, in AWS seconds
        aws.fault("lost", "CreateVpc")      # strict/faults.py: what may happen to a call
        aws.throttle(); aws.page_size = 2   # calls no faster than AWS takes them; lists in small pages
        aws.seed = 7                        # another of the answers that AWS may give, where nobody knows
        aws.reset()                         # an empty account again; what is deployed stays

`python -m tests.aws` keeps one in the foreground. moto_server.py and ministack_server.py are the two processes,
strict/ is what AWS does and moto does not, front.py is the load balancers' traffic. An instance with the tag
`local:backend` = `127.0.0.1:PORT` is as healthy as what answers there, and that is where its requests go.
"""
