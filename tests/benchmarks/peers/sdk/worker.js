// The work of tests/benchmarks/peers/agent_rows.py for Cloudflare's SDKs (agents, think, codemode), as
// worker.js beside it: GET /WORK?n=COUNT does it that many times and answers when all is durable.
import { Agent } from "agents";
import { Think } from "@cloudflare/think";
import {
  CodemodeConnector, CodemodeRuntime, DynamicWorkerExecutor, createCodemodeRuntime,
} from "@cloudflare/codemode";
import { MockLanguageModelV4 } from "ai/test";
import { simulateReadableStream, tool } from "ai";
import { z } from "zod";

export { CodemodeRuntime };

const TABLE = "create table if not exists rows(n integer)";
const times = async (n, one) => { for (let i = 0; i < n; i++) await one(i); };
let number = 0;

export class Child extends Agent {
  echo(n) { return n; }
  insert(n) {
    this.ctx.storage.sql.exec(TABLE);
    this.ctx.storage.sql.exec("insert into rows values (?)", n);
    return n;
  }
}

// A model that calls `pay`, and says "done" once it has the result.
const usage = { inputTokens: { total: 10 }, outputTokens: { total: 5 } };
const finish = (why) => ({ type: "finish", finishReason: { unified: why, raw: why }, usage });
const start = { type: "stream-start", warnings: [] };
const said = (prompt) =>
  prompt.at(-1).role === "tool"
    ? [
        start, { type: "text-start", id: "t" }, { type: "text-delta", id: "t", delta: "done" },
        { type: "text-end", id: "t" }, finish("stop"),
      ]
    : [
        start,
        { type: "tool-call", toolCallId: `call ${number++}`, toolName: "pay", input: '{"amount": 1}' },
        finish("tool-calls"),
      ];
const doStream = async ({ prompt }) => ({
  stream: simulateReadableStream({
    chunks: said(prompt), initialDelayInMs: null, chunkDelayInMs: null,
  }),
});

export class Payer extends Think {
  getModel() { return new MockLanguageModelV4({ doStream }); }
  getSystemPrompt() { return "You pay."; }
  getTools() {
    const execute = async ({ amount }) => {
      this.ctx.storage.sql.exec(TABLE);
      this.ctx.storage.sql.exec("insert into rows values (?)", amount);
      return amount + 1;
    };
    const inputSchema = z.object({ amount: z.number() });
    return { pay: tool({ description: "Pay.", inputSchema, execute }) };
  }
  async turn() {
    const done = await this.runTurn({ input: "Pay 1" });
    if (done.status !== "completed") throw new Error(JSON.stringify(done));
  }
}

class Bank extends CodemodeConnector {
  name() { return "bank"; }
  tools() {
    const inputSchema = {
      type: "object", properties: { amount: { type: "number" } }, required: ["amount"],
    };
    return { pay: { description: "Pay.", inputSchema, execute: async ({ amount }) => amount + 1 } };
  }
}

const CODE = `async () => {
  const first = await bank.pay({ amount: 1 });
  const second = await bank.pay({ amount: first });
  return await bank.pay({ amount: second });
}`;

export class Trunk extends Agent {
  async onRequest(request) {
    const url = new URL(request.url);
    try {
      await this[url.pathname.slice(1)](Number(url.searchParams.get("n")));
      return Response.json({ loaded: 0 });
    } catch (error) {
      return new Response(String(error.stack), { status: 500 });
    }
  }

  child() { return this.dynamicAgents.get(Child, `new ${number++}`); }

  nothing() {}
  async call_sub_agent(n) {
    const child = await this.dynamicAgents.get(Child, "live");
    return times(n, (i) => child.echo(i));
  }
  new_sub_agents(n) { return times(n, async (i) => (await this.child()).insert(i)); }
  crowd_of_sub_agents(n) {
    return Promise.all(Array.from({ length: n }, async (_, i) => (await this.child()).insert(i)));
  }
  execute(n) {
    this.codemode ??= createCodemodeRuntime({
      ctx: this.ctx, connectors: [new Bank(this.ctx, this.env)],
      executor: new DynamicWorkerExecutor({ loader: this.env.LOADER }),
    });
    return times(n, async () => {
      const done = await this.codemode.execute({ code: CODE });
      if (done.result !== 4) throw new Error(JSON.stringify(done));
    });
  }
  async turns(n) {
    const one = await this.dynamicAgents.get(Payer, "one");
    return times(n, () => one.turn());
  }
  first_turns(n) {
    return times(n, async () => (await this.dynamicAgents.get(Payer, `new ${number++}`)).turn());
  }
}

export default {
  fetch: (request, env, ctx) => ctx.exports.Trunk.getByName("trunk").fetch(request),
};
