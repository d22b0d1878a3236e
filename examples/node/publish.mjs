// Publish a JSONL file of posts, pipelined, from Node: node publish.mjs posts.jsonl [live|backlog]
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { createClient, ErrorReply } from "redis";

const BATCH = 500;
const ATTEMPTS = 5;

const [file, lane = "live"] = process.argv.slice(2);
if (!file || !["live", "backlog"].includes(lane)) {
  console.error("usage: node publish.mjs posts.jsonl [live|backlog]");
  process.exit(2);
}

const client = createClient({
  url: process.env.MODQ_REDIS_URL ?? "redis://localhost:6379/0",
  disableOfflineQueue: true, // say so when the queue is away, instead of keeping posts in memory
  socket: { connectTimeout: 2000, socketTimeout: 2000, reconnectStrategy: (tries) => Math.min(tries * 100, 1000) },
});
client.on("error", () => {}); // every command tells of its own failure
await client.connect();

let published = 0;
let batch = [];
for await (const line of createInterface({ input: createReadStream(file, "utf8"), crlfDelay: Infinity })) {
  if (line.trim()) batch.push(line);
  if (batch.length >= BATCH) await publish(batch.splice(0));
}
await publish(batch);
client.destroy();
console.log(`${published} posts are on the ${lane} lane`);

// The client pipelines what is sent in one go. Every answer is looked at, and only what failed is sent again:
// the same id and text, so that a post that did arrive is still judged once.
async function publish(posts) {
  let waiting = posts;
  for (let attempt = 1; waiting.length; attempt++) {
    const answers = await Promise.allSettled(waiting.map((post) => client.xAdd(`modq:posts:${lane}`, "*", { post })));
    const failed = answers.flatMap((answer, i) => (answer.status === "rejected" ? [[waiting[i], answer.reason]] : []));
    published += waiting.length - failed.length;
    const hopeless = failed.find(([, reason]) => !worthRetrying(reason));
    if (hopeless || (failed.length && attempt === ATTEMPTS)) {
      console.error(`stopped with ${published} posts on the queue: ${(hopeless ?? failed[0])[1].message}`);
      process.exit(1);
    }
    waiting = failed.map(([post]) => post);
    if (waiting.length) await pause(200 * attempt);
  }
}

function worthRetrying(error) {
  return !(error instanceof ErrorReply) || /^(OOM|LOADING|READONLY|MASTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS)\b/.test(error.message);
}
