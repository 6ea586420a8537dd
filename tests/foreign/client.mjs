// A phone in Node, written from the published protos and PROTOCOL.md alone.
//
// usage: client.mjs HOST:PORT CODE AREA PROTO_DIR

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";

const [address, code, area, protos] = process.argv.slice(2);
const require = createRequire(`${process.cwd()}/`);
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const options = { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
const files = ["device", "sync"].map((name) => `rounds/v1/${name}.proto`);
const { v1 } = grpc.loadPackageDefinition(loader.loadSync(files, options)).rounds;
const insecure = grpc.credentials.createInsecure();
const devices = new v1.DeviceService(address, insecure);
const sync = new v1.SyncService(address, insecure);

const call = (client, method, request, token) =>
  new Promise((resolve, reject) => {
    const metadata = new grpc.Metadata();
    if (token) metadata.set("authorization", `Bearer ${token}`);
    client[method](request, metadata, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
const clock = () => ({ wall_ms: Date.now(), boot: 1, monotonic_ms: Math.floor(process.uptime() * 1000) });

const phone = await call(devices, "Enrol", { code, label: "Node phone" });
const violation = randomUUID();
const op = (action) => ({ schema_version: 1, record: violation, area, kind: "KIND_VIOLATION", clock: clock(), ...action });
const ops = [
  { seq: 1, op: op({ create: { body: { violation: { sort: "dumping", description: "Rubble by the gate" } } } }) },
  { seq: 2, op: op({ step: { to: "stopped" } }) },
  { seq: 3, op: op({ step: { to: "restored" } }) },
];
const request = (cursor, ops = []) => ({ ops, cursor, clock: clock(), holds_from: 1, unsent_ops: ops.length });

const first = await call(sync, "Sync", request(Buffer.alloc(0), ops), phone.token);
assert.deepEqual(first.verdicts.map((it) => it.outcome), ["OUTCOME_APPLIED", "OUTCOME_APPLIED", "OUTCOME_NOT_APPLIED"]);
assert.equal(first.verdicts[2].reason, "STEP_NOT_ALLOWED");

const again = await call(sync, "Sync", request(Buffer.alloc(0), ops), phone.token);
assert.deepEqual(again.verdicts, first.verdicts, "a retry gets the same verdicts");

const records = new Map();
for (let answer = again; ; answer = await call(sync, "Sync", request(answer.cursor), phone.token)) {
  for (const item of answer.feed) if (item.record) records.set(item.record.id, item.record);
  if (!answer.more) break;
}
assert.equal(records.get(violation).status, "stopped");
assert.equal(records.get(violation).disputes.length, 1, "the step that did not apply is shown");
const kinds = new Set([...records.values()].map((record) => record.kind));
assert.ok(kinds.has("KIND_VISIT"), "what the Python phone recorded is here");

await assert.rejects(call(sync, "Sync", request(Buffer.alloc(0)), "no such token"), { code: grpc.status.UNAUTHENTICATED });
console.log("ok");
process.exit(0);
