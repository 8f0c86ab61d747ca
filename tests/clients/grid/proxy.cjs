// The public grid proxy client against what the chain says of the same lab: every list, its filters and its pages.
const assert = require("node:assert/strict");
const { default: GridProxyClient, SortBy } = require("@threefold/gridproxy_client");
const { Client } = require("@threefold/tfchain_client");
const { env, pause, run, say } = require("./common.cjs");

const ids = (list) => list.data.map((one) => one.nodeId ?? one.farmId ?? one.twinId ?? one.contract_id);
const sorted = (list) => ids(list).sort((a, b) => a - b);

run(async () => {
  const proxy = new GridProxyClient(env.PROXY_URL);
  const chain = new Client({ url: env.SUBSTRATE_URL, mnemonicOrSecret: env.MNEMONIC });
  await chain.connect();
  const me = await chain.twins.getMyTwinId();
  const all = [];
  for (let id = 1; ; id++) {
    const node = await chain.nodes.get({ id });
    if (!node) break;
    all.push(node);
  }
  const every = all.map((one) => one.id);
  assert.deepEqual(sorted(await proxy.nodes.list({})), every);

  // A node is what the chain says, by both shapes of it.
  for (const node of all) {
    const [listed] = (await proxy.nodes.list({ nodeId: node.id }, { loadFarm: true, loadTwin: true, loadStats: true })).data;
    const single = await proxy.nodes.byId(node.id);
    for (const seen of [listed, single]) {
      assert.equal(seen.twinId, node.twinId);
      assert.equal(seen.farmId, node.farmId);
      assert.deepEqual({ ...seen.total_resources }, { ...node.resources });
      assert.equal(seen.publicConfig.ipv4, node.publicConfig.ip4.ip);
      assert.equal(seen.publicConfig.ipv6, node.publicConfig.ip6.ip);
      assert.equal(seen.publicConfig.domain, node.publicConfig.domain);
    }
    const twin = await chain.twins.get({ id: node.twinId });
    assert.deepEqual([listed.twin.accountId, listed.twin.relay, listed.twin.publicKey], [twin.accountId, twin.relay, twin.pk]);
    assert.equal(listed.farm.name, (await chain.farms.get({ id: node.farmId })).name);
    assert.equal(listed.stats.total.cru, node.resources.cru);
    assert.deepEqual(await proxy.nodes.gpuById(node.id), []);
    assert.equal((await proxy.gateways.byId(node.id)).nodeId, node.id);
  }

  // What is not so is so otherwise: a flag and its opposite are the whole list, and share nothing.
  for (const flag of ["ipv4", "ipv6", "domain", "dedicated", "rentable", "rented", "hasGpu", "healthy", "hasIPv6"]) {
    const [yes, no] = await Promise.all([true, false].map((value) => proxy.nodes.list({ [flag]: value })));
    assert.deepEqual([...ids(yes), ...ids(no)].sort((a, b) => a - b), every, flag);
  }
  const whole = { farmName: "lab", farmIds: "1,7", status: "up,standby", totalCru: 1, freeMru: 1, availableFor: me, healthy: true };
  assert.deepEqual(sorted(await proxy.nodes.list(whole)), every);
  for (const filter of [{ totalCru: 10000 }, { freeMru: 1e15 }, { freeSru: 1e15 }, { totalHru: 1e15 }, { farmIds: "7" }, { rentedBy: me }, { farmName: "la" }, { status: "down" }, { country: "Nowhere" }])
    assert.deepEqual(ids(await proxy.nodes.list(filter)), [], JSON.stringify(filter));

  // Pages are the list, in the asked order; the count is of all of it.
  for (const by of Object.values(SortBy).filter((one) => one !== SortBy.FarmName)) {
    const pages = await Promise.all(every.map((_, at) => proxy.nodes.list({ sortBy: by, sortOrder: "desc", size: 1, page: at + 1, retCount: true })));
    assert.deepEqual(pages.flatMap(ids).sort((a, b) => a - b), every, by);
    assert.ok(pages.every((page) => page.count === every.length));
  }
  const descending = await proxy.nodes.list({ sortBy: SortBy.NodeId, sortOrder: "desc" });
  assert.deepEqual(ids(descending), [...every].reverse());

  // Contracts, from their making to their end.
  const hash = "5".repeat(32);
  const data = '{"version":3,"type":"vm","name":"seen","projectName":""}';
  const made = await (await chain.contracts.createNode({ nodeId: 1, hash, data, numberOfPublicIps: 0, solutionProviderId: null })).apply();
  const name = await (await chain.contracts.createName({ name: "labseen" })).apply();
  const mine = { twinId: me, state: ["Created"] };
  const both = [made.contractId, name.contractId];
  const until = async (what) => {
    // The proxy follows the chain by a block.
    for (let tries = 0; !(await what()); tries++) {
      assert.ok(tries < 40);
      await pause(250);
    }
  };
  await until(async () => (await proxy.contracts.list(mine)).data.length === 2);
  assert.deepEqual(sorted(await proxy.contracts.list(mine)), both);
  for (const [filter, want] of [
    [{ ...mine, type: "node" }, [both[0]]], [{ ...mine, type: "name" }, [both[1]]], [{ ...mine, type: "rent" }, []],
    [{ contractId: both[0] }, [both[0]]], [{ ...mine, name: "labseen" }, [both[1]]], [{ ...mine, deploymentHash: hash }, [both[0]]],
    [{ ...mine, nodeId: 1 }, [both[0]]], [{ ...mine, numberOfPublicIps: 1 }, []],
  ])
    assert.deepEqual(sorted(await proxy.contracts.list(filter)), want, JSON.stringify(filter));
  const [shown] = (await proxy.contracts.list({ contractId: both[0] })).data;
  assert.deepEqual([shown.details.deployment_data, shown.details.deployment_hash, shown.details.nodeId], [data, hash, 1]);
  for (const id of both) await (await chain.contracts.cancel({ id })).apply();
  await until(async () => (await proxy.contracts.list(mine)).data.length === 0);
  assert.deepEqual(sorted(await proxy.contracts.list({ twinId: me, state: ["Deleted"] })), both);

  // Farms, twins, numbers.
  const [farm] = (await proxy.farms.list({ name: "lab", retCount: true })).data;
  assert.equal(farm.twinId, (await chain.farms.get({ id: farm.farmId })).twinId);
  assert.deepEqual(ids(await proxy.farms.list({ nameContains: "zzz" })), []);
  const [twin] = (await proxy.twins.list({ twinId: me })).data;
  assert.equal(twin.accountId, chain.address);
  const stats = await proxy.stats.get({ status: "up" });
  assert.equal(stats.nodes, every.length);
  assert.equal(stats.totalCru, all.reduce((sum, one) => sum + one.resources.cru, 0));
  assert.deepEqual(await proxy.publicIps.listAll(), []);
  say("checked", every);
});
