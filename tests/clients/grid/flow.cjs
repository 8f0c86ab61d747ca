// The public grid client's whole flow against a lab: connect, filter, deploy on two nodes in one network, read back,
// add a machine, take one away with its node, delete.
const { connected, machine, run, say, told } = require("./common.cjs");

const seen = (machines) =>
  machines.map((one) => ({
    name: one.name,
    node: +one.nodeId,
    status: one.status,
    ip: one.interfaces[0].ip,
    mounts: one.mounts.length,
    planetary: one.planetary,
    mycelium: one.myceliumIP,
  }));

run(async () => {
  const client = await connected();
  say("twin", client.twinId);
  const wanted = { cru: 1, mru: 0.25, sru: 3, accessNodeV4: true, wireguard: true, planetary: true, mycelium: true };
  const nodes = await client.capacity.filterNodes({ ...wanted, healthy: true, availableFor: client.twinId });
  say("nodes", nodes.map((node) => node.nodeId));
  const [near, far] = nodes.map((node) => +node.nodeId);
  const name = "labvm";
  const network = { name: "labnet", ip_range: "10.249.0.0/16", addAccess: true, accessNodeId: near };
  const long = { GREETING: "hello", LONG: "ü=".repeat(2000) };
  const machines = [
    machine("vm1", near, { env: long, planetary: true, mycelium: true }),
    machine("vm2", far, { disks: [], mycelium: true }),
  ];
  const deployed = await client.machines.deploy({ name, network, machines });
  say("deployed", { contracts: deployed.contracts.created.map((one) => one.contractId), wireguard: deployed.wireguard_config });
  say("read", seen(await client.machines.getObj(name)));
  const there = { name: network.name, ipRange: network.ip_range };
  say("network", {
    machines: await client.machines.list(),
    networks: await client.networks.list(),
    ways: await client.networks.getWireGuardConfigs(there),
    far: await client.networks.hasNode({ ...there, nodeId: far }),
  });
  await told();
  await client.machines.add_machine({ deployment_name: name, ...machine("vm3", near) });
  say("added", seen(await client.machines.getObj(name)));
  await client.machines.delete_machine({ deployment_name: name, name: "vm2" });
  say("taken", seen(await client.machines.getObj(name)));
  const gone = await client.machines.delete({ name });
  say("deleted", gone.deleted.map((one) => one.contractId));
  await client.disconnect();
});
