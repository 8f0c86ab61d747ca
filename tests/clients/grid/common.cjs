// What the programs of this folder share: a client as `zos lab env` describes it, and one JSON line per step.
const { GridClient } = require("@threefold/grid_client");
const env = process.env;

const say = (step, value) => process.stdout.write(JSON.stringify({ step, value }) + "\n");
// The client talks on standard output; ours is for the test.
console.log = (...words) => process.stderr.write(words.join(" ") + "\n");

async function connected(options = {}) {
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
    ...options,
  });
  await client.connect();
  return client;
}

const machine = (name, node, options = {}) => ({
  name,
  node_id: node,
  disks: [{ name: `${name}disk`, size: 1, mountpoint: "/data" }],
  public_ip: false,
  public_ip6: false,
  planetary: false,
  mycelium: false,
  cpu: 1,
  memory: 256,
  rootfs_size: 1,
  flist: env.FLIST,
  entrypoint: "/sbin/web",
  env: { GREETING: "hello" },
  ...options,
});

// The identifiers of everything that the client's twin has on the chain, as the grid proxy tells.
async function contracts(client) {
  const { nodeContracts, nameContracts, rentContracts } = await client.contracts.listMyContracts();
  return [...nodeContracts, ...nameContracts, ...rentContracts].map((one) => +one.contractID);
}

// What an action was refused with, once nothing of it is left on the chain; null when it was not refused.
async function refused(client, action) {
  try {
    await action();
    return null;
  } catch (err) {
    // The grid proxy follows the chain by a block.
    for (let tries = 0; tries < 20 && (await contracts(client)).length; tries++) await pause(500);
    return { message: String(err.message || err), left: await contracts(client) };
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const told = () => new Promise((resolve) => process.stdin.once("data", resolve));

function run(main) {
  main().then(
    () => process.exit(0),
    (err) => {
      process.stderr.write(`${err.stack || err}\n`);
      process.exit(1);
    },
  );
}

module.exports = { connected, contracts, env, machine, pause, refused, run, say, told };
