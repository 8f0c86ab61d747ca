// polkadot.js as an unchanged client of a chain: reads, subscribes, signs, submits and watches to the end.
// node scenario.mjs URL TYPES    (TYPES: JSON of type definitions, {} for metadata that describes itself)
// Prints one JSON object; any surprise is an exception and a non-zero exit.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// The modules are in the test's cache folder (NODE_PATH), which only CommonJS resolution knows.
const require = createRequire(import.meta.url);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { ApiPromise, Keyring, WsProvider } = (await load('@polkadot/api')).default ?? (await load('@polkadot/api'));

const [url, types] = process.argv.slice(2);
const GiB = 1024n ** 3n;
const told = { events: [], sections: {}, errors: {} };

const provider = new WsProvider(url, 1000);
const api = await ApiPromise.create({ provider, types: JSON.parse(types ?? '{}'), noInitWarn: true, throwOnConnect: true });
const old = !api.tx.tfgridModule.reportUptimeV2;
const users = new Keyring({ type: 'sr25519', ss58Format: 42 });
const nodes = new Keyring({ type: 'ed25519', ss58Format: 42 });
const alice = users.addFromUri('//Alice');
const bob = users.addFromUri('//Bob');
const node = nodes.addFromSeed(new Uint8Array(32).fill(7));

const within = (seconds, promise, what) =>
  Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`${what}: no answer`)), seconds * 1000).unref())]);

// Specs before 62 list no errors for the contract pallet: then the number is all there is.
function named(error) {
  try {
    const { section, name } = api.registry.findMetaError(error);
    return `${section}.${name}`;
  } catch {
    return `${error.index}.${error.error}`;
  }
}

// Signs, sends, and watches until final; gives the call's events, or throws the runtime's error by name.
function send(tx, who, options = {}) {
  return within(30, new Promise((yes, no) => {
    const statuses = [];
    tx.signAndSend(who, { nonce: -1, ...options }, ({ status, events, dispatchError }) => {
      statuses.push(status.type);
      if (status.isInvalid || status.isDropped || status.isUsurped) no(new Error(`the pool says ${status.type}`));
      if (!status.isFinalized) return;
      told.statuses = statuses;
      if (dispatchError?.isModule) {
        no(Object.assign(new Error(named(dispatchError.asModule)), { refused: true }));
      } else if (dispatchError) {
        no(Object.assign(new Error(dispatchError.toString()), { refused: true }));
      } else {
        yes(events.map(({ event }) => event));
      }
    }).catch(no);
  }), 'send');
}

async function refused(tx, who) {
  try {
    await send(tx, who);
  } catch (err) {
    if (err.refused) return err.message;
    throw err;
  }
  throw new Error('it should have been refused');
}

const found = (events, name) => events.find((event) => event.method === name);

// Reading
told.chain = (await api.rpc.system.chain()).toString();
told.spec = api.runtimeVersion.specVersion.toNumber();
told.genesis = api.genesisHash.toHex();
told.free = (await api.query.system.account(alice.address)).data.free.toString();
told.health = (await api.rpc.system.health()).isSyncing.isFalse;
told.deposit = api.consts.balances.existentialDeposit.toString();
const head = await api.rpc.chain.getHeader();
told.hashed = (await api.rpc.chain.getBlockHash(head.number.toNumber())).eq(head.hash);
told.block = (await api.rpc.chain.getBlock(head.hash)).block.header.number.eq(head.number);

// Subscribing: three of each kind
const taken = (subscribe, count) => within(30, new Promise((yes, no) => {
  const seen = [];
  let end = null;
  let done = false;
  subscribe((one) => {
    if (done) return;
    seen.push(one);
    if (seen.length >= count) {
      done = true;
      end?.();
      yes(seen);
    }
  }).then((stop) => { end = stop; if (done) stop(); }).catch(no);
}), 'subscription');
const heads = await taken((heard) => api.rpc.chain.subscribeNewHeads(heard), 3);
told.heads = heads.map((one) => one.number.toNumber());
const finals = await taken((heard) => api.rpc.chain.subscribeFinalizedHeads(heard), 3);
told.finals = finals.map((one) => one.number.toNumber());
told.numbers = (await taken((heard) => api.query.system.number(heard), 3)).map((one) => one.toNumber());
const version = await taken((heard) => api.rpc.state.subscribeRuntimeVersion(heard), 1);
told.subscribedSpec = version[0].specVersion.toNumber();

// Writing, as user and farmer
const terms = (who) => send(api.tx.tfgridModule.userAcceptTc('http://zos.tf/terms/v0.1', '9021d4dee05a661e2cb6838152c67f25'), who);
const twin = old ? api.tx.tfgridModule.createTwin('::1') : api.tx.tfgridModule.createTwin(null, null);
told.errors.terms = await refused(twin, alice);
await terms(alice);
told.twin = found(await send(twin, alice), 'TwinStored').data[0].id.toNumber();
const ip = old
  ? { ip: '185.206.122.33/24', gateway: '185.206.122.1', contractId: 0 }
  : { ip: '185.206.122.33/24', gw: '185.206.122.1' };
told.farm = found(await send(api.tx.tfgridModule.createFarm('pjs_farm', [ip]), alice), 'FarmStored').data[0].name.toUtf8();
told.errors.farm = await refused(api.tx.tfgridModule.createFarm('pjs_farm', []), alice);

// As node: money first, with an estimated fee
const transfer = api.tx.balances.transferKeepAlive(node.address, 10_000_000);
told.fee = (await transfer.paymentInfo(alice)).partialFee.toNumber();
told.moved = found(await send(transfer, alice), 'Transfer').data[2].toString();
await terms(node);
await send(twin, node);
const resources = { hru: 0, sru: 512n * GiB, cru: 8, mru: 32n * GiB };
const cards = [{ name: 'zos', mac: '54:b2:03:12:34:56', ips: ['10.0.0.5'] }];
const created = old
  ? api.tx.tfgridModule.createNode(1, resources, { longitude: '3.7', latitude: '51.0' }, 'Belgium', 'Ghent', cards, false, true, '')
  : api.tx.tfgridModule.createNode(1, resources, { city: 'Ghent', country: 'Belgium', latitude: '51.0', longitude: '3.7' }, cards, false, true, null);
told.node = found(await send(created, node), 'NodeStored').data[0].id.toNumber();
const now = Math.floor((await api.query.timestamp.now()).toNumber() / 1000);
const uptime = old ? api.tx.tfgridModule.reportUptime(3600) : api.tx.tfgridModule.reportUptimeV2(3600, now);
told.uptime = found(await send(uptime, node), 'NodeUptimeReported').data.map((one) => Number(one)).filter((_, at) => at !== 1);

// Contracts
const hash = '1fcdb75ce0bccc19c57a0011c5193616';
const contract = old
  ? api.tx.smartContractModule.createNodeContract(1, '{}', hash, 1)
  : api.tx.smartContractModule.createNodeContract(1, hash, '{}', 1, null);
const made = found(await send(contract, alice), 'ContractCreated').data[0];
told.contract = made.contractId.toNumber();
told.hash = made.contractType.asNodeContract.deploymentHash.toUtf8?.() ?? made.contractType.asNodeContract.deploymentHash.toHuman();
told.errors.unique = await refused(contract, alice);
const used = [{ contractId: told.contract, used: { hru: 0, sru: 50n * GiB, cru: 2, mru: 4n * GiB } }];
await send(api.tx.smartContractModule.reportContractResources(used), node);
told.used = (await api.query.smartContractModule.nodeContractResources(told.contract)).used.cru.toNumber();
const changed = old
  ? api.tx.smartContractModule.updateNodeContract(told.contract, '{"v":1}', hash)
  : api.tx.smartContractModule.updateNodeContract(told.contract, hash, '{"v":1}');
await send(changed, alice, { tip: 5 });
told.active = (await api.query.smartContractModule.activeNodeContracts(1)).map((id) => id.toNumber());

// State of several kinds, now and before
const before = await api.rpc.chain.getFinalizedHead();
told.farms = (await api.query.tfgridModule.farms.entries()).map(([key, farm]) => [key.args[0].toNumber(), (farm.unwrap?.() ?? farm).name.toUtf8()]);
told.many = (await api.query.system.account.multi([alice.address, node.address])).length;
told.keys = (await api.query.tfgridModule.twins.keys()).length;
await send(api.tx.smartContractModule.cancelContract(told.contract), alice);
const then = await api.at(before);
const past = await then.query.smartContractModule.contracts(told.contract);
told.past = (past.unwrap?.() ?? past).contractId.toNumber();
const gone = await api.query.smartContractModule.contracts(told.contract);
told.gone = old ? gone.contractId.toNumber() === 0 : gone.isNone;
if (api.tx.utility) {
  const batch = api.tx.utility.batchAll([api.tx.system.remark('0x01'), api.tx.balances.transferKeepAlive(bob.address, 1000)]);
  told.batch = (await send(batch, alice)).filter((event) => event.method === 'ItemCompleted').length;
}

// An immortal and a mortal one, and what the pool refuses
await send(api.tx.system.remark('0x02'), alice, { era: 0 });
told.pool = await api.tx.system.remark('0x').signAndSend(alice, { nonce: 0 }).then(() => 'taken', (err) => err.message);

// Every event of every block, decoded and given back as it came
const last = (await api.rpc.chain.getHeader()).number.toNumber();
for (let number = 0; number <= last; number++) {
  const at = await api.rpc.chain.getBlockHash(number);
  const raw = await api.rpc.state.getStorage(api.query.system.events.key(), at);
  const events = await (await api.at(at)).query.system.events();
  for (const { event } of events) told.sections[`${event.section}.${event.method}`] = (told.sections[`${event.section}.${event.method}`] ?? 0) + 1;
  if (raw && raw.toHex?.() && events.length && !raw.toHex().endsWith(events.toHex().slice(2))) throw new Error(`block ${number}: its events do not encode back`);
  const { block } = await api.rpc.chain.getBlock(at);
  if (block.header.hash.toHex() !== at.toHex()) throw new Error(`block ${number}: its header hashes to something else`);
  for (const one of block.extrinsics) one.toHuman();
}
told.blocks = last + 1;

await api.disconnect();
console.log(JSON.stringify(told));
process.exit(0);
