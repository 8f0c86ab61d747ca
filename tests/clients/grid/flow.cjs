// The public grid client's whole flow against a lab: connect, filter, deploy, read back, add a machine, delete.
// Reads its environment as `zos lab up --clients` prints it, MNEMONIC, FLIST, and writes one JSON line per step.
const { GridClient } = require("@threefold/grid_client");

const say = (step, value) => process.stdout.write(JSON.stringify({ step, value }) + "\n");
console.log = (...words) => process.stderr.write(words.join(" ") + "\n");

const machine = (name, node, more = {}) => ({
  name,
  node_id: node,
  disks: [{ name: `${name}disk`, size: 1, mountpoint: "/data" }],
  public_ip: false,
  public_ip6: false,
  planetary: false,
  mycelium: true,
  cpu: 1,
  memory: 256,
  rootfs_size: 1,
  flist: process.env.FLIST,
  entrypoint: "/sbin/web",
  env: { GREETING: "hello" },
  ...more,
});

async function main() {
  const env = process.env;
  const client = new GridClient({
    network: env.NETWORK,
    mnemonic: env.MNEMONIC,
    storeSecret: env.MNEMONIC,
    keypairType: "sr25519",
    substrateURL: env.SUBSTRATE_URL,
    proxyURL: env.PROXY_URL,
    graphqlURL: env.GRAPHQL_URL,
    relayURL: env.RELAY_URL,
    activationURL: env.ACTIVATION_URL,
    deploymentTimeoutMinutes: 2,
  });
  await client.connect();
  say("twin", client.twinId);
  const nodes = await client.capacity.filterNodes({ cru: 1, mru: 0.25, sru: 3, accessNodeV4: true, wireguard: true, planetary: true, mycelium: true, availableFor: client.twinId });
  say("nodes", nodes.map((node) => node.nodeId));
  const node = +nodes[0].nodeId;
  const name = "labvm";
  const network = { name: "labnet", ip_range: "10.249.0.0/16", addAccess: true, accessNodeId: node };
  const deployed = await client.machines.deploy({ name, network, machines: [machine("vm1", node, { planetary: true })] });
  say("deployed", { contracts: deployed.contracts.created.map((one) => one.contractId), wireguard: deployed.wireguard_config });
  const objects = await client.machines.getObj(name);
  say("read", objects.map((one) => ({ name: one.name, status: one.status, ip: one.interfaces[0].ip, mounts: one.mounts.length, planetary: one.planetary, mycelium: one.myceliumIP })));
  await new Promise((resolve) => process.stdin.once("data", resolve));
  await client.machines.add_machine({ deployment_name: name, ...machine("vm2", +nodes[1].nodeId) });
  const two = await client.machines.getObj(name);
  say("added", two.map((one) => ({ name: one.name, status: one.status, ip: one.interfaces[0].ip, mycelium: one.myceliumIP })));
  const gone = await client.machines.delete({ name });
  say("deleted", gone.deleted.map((one) => one.contractId));
  await client.disconnect();
}

main().then(
  () => process.exit(0),
  (err) => {
    process.stderr.write(`${err.stack || err}\n`);
    process.exit(1);
  },
);
