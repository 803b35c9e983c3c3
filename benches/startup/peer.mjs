// One function's call by the AWS SDK for JavaScript: the least of a Lambda runtime around it, and no more.

import { DescribeListenersCommand, ElasticLoadBalancingV2Client } from "@aws-sdk/client-elastic-load-balancing-v2";

const path = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
const elb = new ElasticLoadBalancingV2Client({});
for (;;) {
  const answer = await fetch(`${path}/next`);
  const event = await answer.json();
  let result = "found";
  try {
    await elb.send(new DescribeListenersCommand({ LoadBalancerArn: event.loadBalancer.arn }));
  } catch (error) {
    result = String(error);
  }
  const id = answer.headers.get("lambda-runtime-aws-request-id");
  await fetch(`${path}/${id}/response`, { method: "POST", body: JSON.stringify(result) });
}
