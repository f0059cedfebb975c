// A worker without a library: frames of 4 bytes of length and JSON, over two private pipes. See docs/workers.md.
import fs from "node:fs";

const [requests, answers] = process.env.WINDLASS_FDS.split(",").map(Number);
const nonce = process.env.WINDLASS_NONCE;
delete process.env.WINDLASS_FDS; // programs that we start are no workers
delete process.env.WINDLASS_NONCE;

const handlers = {
  reverse: (work) => [...work.item].reverse().join(""),
};

function send(message) {
  const body = Buffer.from(JSON.stringify(message));
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32BE(body.length);
  body.copy(frame, 4);
  for (let sent = 0; sent < frame.length; ) sent += fs.writeSync(answers, frame, sent);
}

function read(length) {
  const bytes = Buffer.alloc(length);
  for (let have = 0; have < length; ) {
    const count = fs.readSync(requests, bytes, have, length - have);
    if (count === 0) process.exit(0); // the engine is gone
    have += count;
  }
  return bytes;
}

function health() {
  const open = () => fs.readdirSync("/dev/fd").length - 1;
  return { rss_bytes: process.memoryUsage.rss(), open_fds: fs.existsSync("/dev/fd") ? open() : null };
}

send({ type: "hello", nonce, protocol: 1, pid: process.pid });
for (;;) {
  const request = JSON.parse(read(read(4).readUInt32BE()));
  const answer = { type: "answer", id: request.id };
  try {
    if (request.type === "run") answer.value = handlers[request.handler](request);
  } catch (error) {
    answer.failed = { retryable: true, kind: error.name, message: error.message, traceback: error.stack };
  }
  send({ ...answer, health: health() });
  if (request.type === "shutdown") process.exit(0);
}
