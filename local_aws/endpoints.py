"""Which variable sends an AWS client to which of the two servers."""

ACCOUNT = "123456789012"
REGION = "us-east-1"

MOTO_VARIABLES = {
    "elbv2": "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2",
    "acm": "AWS_ENDPOINT_URL_ACM",
    "route53": "AWS_ENDPOINT_URL_ROUTE_53",
    "ec2": "AWS_ENDPOINT_URL_EC2",
    "autoscaling": "AWS_ENDPOINT_URL_AUTO_SCALING",
    "resourcegroupstaggingapi": "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API",
}
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL", *MOTO_VARIABLES.values())


def client_variables() -> dict[str, str]:
    """What every client needs besides endpoints: credentials that are none, and no file of the user's own.

    MiniStack takes an access key of twelve digits as the account's number; moto's account has that number.
    """
    return {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "NO_PROXY": "127.0.0.1,localhost",
        "SAM_CLI_TELEMETRY": "0",
    }
