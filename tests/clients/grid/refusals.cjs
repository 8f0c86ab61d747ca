// What the public grid client shows when a deployment cannot be, and that nothing of it is left.
const { connected, contracts, machine, refused, run, say, told } = require("./common.cjs");

run(async () => {
  const client = await connected();
  const node = +(await client.capacity.filterNodes({ healthy: true, availableFor: client.twinId }))[0].nodeId;
  say("node", [node, client.twinId]);
  const deploy = (name, options) =>
    client.machines.deploy({ name, network: { name: `${name}net`, ip_range: "10.248.0.0/16" }, machines: [machine(`${name}vm`, node, options)] });

  say("flist", await refused(client, () => deploy("mistyped", { flist: `${process.env.HUB_URL}/demo/nobody.fl` })));
  say("memory", await refused(client, () => deploy("huge", { memory: 250 * 1024, rootfs_size: 20 })));

  const [at] = await client.capacity.filterNodes({ nodeId: node });
  const others = {
    "gateway-fqdn-proxy": () =>
      client.gateway.deploy_fqdn({ name: "site", node_id: node, fqdn: "site.example.com", tls_passthrough: false, backends: ["http://10.1.0.5:80"] }),
    "gateway-name-proxy": () =>
      client.gateway.deploy_name({ name: "labsite", node_id: node, tls_passthrough: false, backends: ["http://10.1.0.5:80"] }),
  };
  const missing = Object.keys(others).filter((type) => !at.features.includes(type));
  const answers = {};
  for (const type of missing) answers[type] = await refused(client, others[type]);
  say("types", answers);

  // KYC says no to the client, then to the node alone; reads go on.
  await told();
  const reads = async () => [
    (await client.capacity.filterNodes({ nodeId: node })).length,
    (await client.zos.pingNode({ nodeId: node })).zos.length > 0,
    (await contracts(client)).length,
  ];
  say("client", { refused: await refused(client, () => deploy("unverified")), reads: await reads() });
  await told();
  say("by node", { refused: await refused(client, () => deploy("unknown")), reads: await reads() });
});
