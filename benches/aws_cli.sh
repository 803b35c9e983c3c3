#!/usr/bin/env bash
# The job for the AWS CLI, step by step as a reader of AWS's documentation writes it: `aws_cli.sh provision` or `teardown`,
# which finds the ids where provision has put them, in the working folder. POLL is what it sleeps where the CLI has no
# waiter.
set -euo pipefail

record_changed() { # the change batch
    local change
    change=$(aws route53 change-resource-record-sets --hosted-zone-id "$ZONE" --change-batch "$1" \
        --query ChangeInfo.Id --output text)
    aws route53 wait resource-record-sets-changed --id "$change"
}

provision() {
    aws route53 list-resource-record-sets --hosted-zone-id "$ZONE" \
        --query "ResourceRecordSets[?Name=='$DOMAIN.' && Type=='A'] | [0]" --output json >previous.json

    group=$(aws ec2 create-security-group --group-name "$NAME-elb" --description "The load balancer of $DOMAIN" \
        --vpc-id "$VPC" --query GroupId --output text)
    for port in 80 443; do
        aws ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port "$port" --cidr 0.0.0.0/0
    done
    aws ec2 authorize-security-group-ingress --group-id "$INSTANCE_GROUP" --protocol tcp --port 80 --source-group "$group"

    targets=$(aws elbv2 create-target-group --name "$NAME-target-group" --protocol HTTP --port 80 --vpc-id "$VPC" \
        --health-check-path /health --health-check-interval-seconds 10 --health-check-timeout-seconds 5 \
        --healthy-threshold-count 2 --unhealthy-threshold-count 2 --matcher HttpCode=200 \
        --query 'TargetGroups[0].TargetGroupArn' --output text)
    aws elbv2 register-targets --target-group-arn "$targets" --targets "Id=$INSTANCE,Port=80"

    # Its ids are words of their own.
    # shellcheck disable=SC2086
    read -r balancer name zone < <(aws elbv2 create-load-balancer --name "$NAME-elb" --subnets $SUBNETS \
        --security-groups "$group" \
        --query 'LoadBalancers[0].[LoadBalancerArn,DNSName,CanonicalHostedZoneId]' --output text)
    aws elbv2 modify-load-balancer-attributes --load-balancer-arn "$balancer" \
        --attributes Key=routing.http.drop_invalid_header_fields.enabled,Value=true
    aws elbv2 wait load-balancer-available --load-balancer-arns "$balancer"

    certificate=$(aws acm request-certificate --domain-name "$DOMAIN" --validation-method DNS \
        --query CertificateArn --output text)
    record=null
    while [ "$record" = null ]; do
        record=$(aws acm describe-certificate --certificate-arn "$certificate" \
            --query 'Certificate.DomainValidationOptions[0].ResourceRecord' --output json)
        [ "$record" != null ] || sleep "$POLL"
    done
    read -r cname value < <(aws acm describe-certificate --certificate-arn "$certificate" \
        --query 'Certificate.DomainValidationOptions[0].ResourceRecord.[Name,Value]' --output text)
    validation="{\"Name\":\"$cname\",\"Type\":\"CNAME\",\"TTL\":60,\"ResourceRecords\":[{\"Value\":\"$value\"}]}"
    record_changed "{\"Changes\":[{\"Action\":\"UPSERT\",\"ResourceRecordSet\":$validation}]}"
    aws acm wait certificate-validated --certificate-arn "$certificate"

    https=$(aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTPS --port 443 \
        --certificates "CertificateArn=$certificate" --ssl-policy ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09 \
        --default-actions "Type=forward,TargetGroupArn=$targets" --query 'Listeners[0].ListenerArn' --output text)
    aws elbv2 modify-listener-attributes --listener-arn "$https" \
        --attributes Key=routing.http.response.strict_transport_security.header_value,Value=max-age=300
    http=$(aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTP --port 80 \
        --default-actions 'Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_302}' \
        --query 'Listeners[0].ListenerArn' --output text)

    aws elbv2 wait target-in-service --target-group-arn "$targets" --targets "Id=$INSTANCE,Port=80"
    alias="{\"HostedZoneId\":\"$zone\",\"DNSName\":\"$name\",\"EvaluateTargetHealth\":false}"
    record_changed "{\"Changes\":[{\"Action\":\"UPSERT\",\"ResourceRecordSet\":
        {\"Name\":\"$DOMAIN\",\"Type\":\"A\",\"AliasTarget\":$alias}}]}"

    declare -p group targets balancer certificate validation https http >ids
}

teardown() {
    # shellcheck disable=SC1091
    source ids
    record_changed "{\"Changes\":[{\"Action\":\"UPSERT\",\"ResourceRecordSet\":$(cat previous.json)}]}"
    aws elbv2 delete-listener --listener-arn "$http"
    aws elbv2 delete-listener --listener-arn "$https"
    aws elbv2 delete-load-balancer --load-balancer-arn "$balancer"
    aws elbv2 wait load-balancers-deleted --load-balancer-arns "$balancer"
    aws elbv2 delete-target-group --target-group-arn "$targets"
    aws ec2 revoke-security-group-ingress --group-id "$INSTANCE_GROUP" --protocol tcp --port 80 --source-group "$group"
    # The load balancer's interfaces hold its group, and ACM still sees the certificate in use.
    until [ "$(aws ec2 describe-network-interfaces --filters "Name=group-id,Values=$group" \
        --query 'length(NetworkInterfaces)' --output text)" = 0 ]; do
        sleep "$POLL"
    done
    aws ec2 delete-security-group --group-id "$group"
    until [ "$(aws acm describe-certificate --certificate-arn "$certificate" \
        --query 'length(Certificate.InUseBy)' --output text)" = 0 ]; do
        sleep "$POLL"
    done
    aws acm delete-certificate --certificate-arn "$certificate"
    record_changed "{\"Changes\":[{\"Action\":\"DELETE\",\"ResourceRecordSet\":$validation}]}"
}

"$1"
