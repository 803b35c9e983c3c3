"""One function's call by boto3: the least of a Lambda runtime around it, and no more."""

import json
import os
from http.client import HTTPConnection

import boto3
from botocore.exceptions import ClientError

PATH = "/2018-06-01/runtime/invocation"

elb = boto3.client("elbv2")
api = HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", f"{PATH}/next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    try:
        elb.describe_listeners(LoadBalancerArn=event["loadBalancer"]["arn"])
        result = "found"
    except ClientError as error:
        result = str(error)
    api.request(
        "POST", f"{PATH}/{answer.headers['Lambda-Runtime-Aws-Request-Id']}/response", json.dumps(result)
    )
    api.getresponse().read()
