// The public RMB client by itself: a node's commands, encrypted and plain, and two clients that talk to each other.
const { Client } = require("@threefold/rmb_direct_client");
const { env, run, say } = require("./common.cjs");

const NODE = +env.NODE_TWIN;
const COMMANDS = [
  "zos.statistics.get", "zos.storage.pools", "zos.gpu.list", "zos.network.list_wg_ports",
  "zos.network.public_config_get", "zos.network.interfaces", "zos.network.has_ipv6", "zos.network.list_public_ips",
  "zos.system.version", "zos.system.hypervisor", "zos.system.diagnostics", "zos.system.node_features_get",
  "zos.perf.get_all", "zos.deployment.list",
];
const REFUSED = {
  "zos.nothing": "", "zos.deployment.get": '{"contract_id": 4000}', "zos.deployment.changes": '{"contract_id": 4000}',
  "zos.deployment.delete": '{"contract_id": 4000}', "zos.deployment.deploy": "{}", "zos.deployment.update": "",
  "zos.admin.interfaces": "", "zos.debug.deployment.list": "{}", "zos.perf.get": '{"name": "nothing"}',
};

run(async () => {
  const client = new Client(env.SUBSTRATE_URL, env.RELAY_URL, env.MNEMONIC, "direct", "sr25519", 3);
  await client.connect();
  const ask = async (command, body, twin = NODE, minutes = 0.3) =>
    client.read(await client.send(command, body, twin, minutes));
  await client.read(await client.ping());
  const answers = async (names, body) =>
    Object.fromEntries(await Promise.all(names.map(async (name) => [name, await ask(name, body)])));
  // The client reads once per second: a few at a time.
  const some = (names) => [names.slice(0, 7), names.slice(7)];
  const found = {};
  for (const names of some(COMMANDS)) Object.assign(found, await answers(names, ""));
  say("empty", found);
  const again = {};
  for (const names of some(COMMANDS)) Object.assign(again, await answers(names, "null"));
  say("encrypted", again);
  const errors = {};
  for (const names of some(Object.keys(REFUSED)))
    await Promise.all(
      names.map(async (name) => {
        await ask(name, REFUSED[name]).then(
          (value) => (errors[name] = { value }),
          (err) => (errors[name] = err.message),
        );
      }),
    );
  say("refused", errors);
  // A client whose own twin has no key on the chain sends plain bodies.
  const { pk } = client.twin;
  client.twin.pk = null;
  say("plain", await ask("zos.perf.get", '{"name": "healthcheck"}'));
  client.twin.pk = pk;

  const other = new Client(env.SUBSTRATE_URL, env.RELAY_URL, env.OTHER, null, "sr25519", 3);
  await other.connect();
  say("two", [await other.read(await other.send("zos.system.version", "", NODE, 0.3)), await ask("zos.system.version", "")]);
  // The other one is asked: whatever comes in for it is a frame of the relay's that names it and the command.
  const heard = new Promise((resolve) => {
    const before = other.con.onmessage;
    other.con.onmessage = (event) => {
      const text = Buffer.from(event.data).toString("latin1");
      if (text.includes("my.command")) resolve(text.includes("secret words"));
      return before(event);
    };
  });
  const missed = ask("my.command", "secret words", other.twin.id, 0.05).catch((err) => err.message);
  say("heard", [await heard, await missed]);
  say("nobody", await ask("zos.system.version", "", +env.FARMER_TWIN, 0.2).catch((err) => err.message));
  await client.disconnect();
});
