// The work of tests/benchmarks for workerd: GET /WORK?n=COUNT does it that many times inside one
// object and answers when all of it is durable. The caller keeps the time: clocks in here stand
// still between two reads.
import { DurableObject } from "cloudflare:workers";

const TABLE = "create table if not exists rows(n integer)";

export class Leaf extends DurableObject {
  echo(n) { return n; }
  insert(n) {
    if (!this.made) this.ctx.storage.sql.exec(TABLE);
    this.made = true;
    this.ctx.storage.sql.exec("insert into rows values (?)", n);
    return n;
  }
  count() { return this.ctx.storage.sql.exec("select count(*) as n from rows").one().n; }
  async grow(n) {
    this.insert(n);
    for (let i = 0; i < n; i++) {
      await this.ctx.facets.get("below " + i, () => ({ class: this.ctx.exports.Leaf, id: "below " + i })).insert(i);
    }
  }
}

const ENTRY = `
import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
  main(n) { return n + 1; }
}
`;

const TOOL = `
import { DurableObject } from "cloudflare:workers";
export class Tool extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("${TABLE}");
  }
  nop(n = 0) { return n; }
  insert(n) {
    this.ctx.storage.sql.exec("insert into rows values (?)", n);
    return n;
  }
}
`;

// The ledger of tools.py, line for line where the languages allow.
const LEDGER = `
import { DurableObject } from "cloudflare:workers";

const AMOUNT = /^(?<sign>-?)(?<whole>\\d+)(?:[.,](?<cents>\\d{2}))?$/;
const CATEGORIES = ["food", "travel", "rent", "other"];

class Entry {
  constructor(day, category, cents, note = "") {
    this.day = day;
    this.category = category;
    this.cents = cents;
    this.note = note;
  }
}

// Cents in a text such as "12.50".
function parseAmount(text) {
  const found = AMOUNT.exec(text.trim());
  if (found === null) {
    throw new Error(text + " is not an amount");
  }
  const cents = Number(found.groups.whole) * 100 + Number(found.groups.cents ?? 0);
  return found.groups.sign ? -cents : cents;
}

// An actor with a table of entries.
export class Tool extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec(
      "create table if not exists entries(id integer primary key, day text not null," +
        " category text not null, cents integer not null, note text not null)"
    );
  }

  add(day, category, amount, note = "") {
    if (!CATEGORIES.includes(category)) {
      throw new Error(category + " is none of " + CATEGORIES.join(", "));
    }
    const entry = new Entry(new Date(day), category, parseAmount(amount), note);
    return this.ctx.storage.sql.exec(
      "insert into entries(day, category, cents, note) values (?, ?, ?, ?) returning id",
      entry.day.toISOString().slice(0, 10), entry.category, entry.cents, entry.note
    ).one().id;
  }

  total(category = null) {
    const where = category ? "where category = ?" : "";
    const query = "select coalesce(sum(cents), 0) as cents from entries " + where;
    return this.ctx.storage.sql.exec(query, ...(category ? [category] : [])).one().cents / 100;
  }

  report() {
    const rows = this.ctx.storage.sql.exec(
      "select category, sum(cents) as cents from entries group by category"
    );
    return JSON.stringify(Object.fromEntries([...rows].map((r) => [r.category, r.cents / 100])));
  }

  nop(n = 0) {
    return n;
  }
}
`;

let loaded = 0;
const codeOf = (source) => {
  loaded += 1;
  return {
    compatibilityDate: "2026-01-01", mainModule: "main.js", modules: { "main.js": source },
    env: {}, globalOutbound: null,
  };
};

let number = 0;
const times = async (n, one) => { for (let i = 0; i < n; i++) await one(i); };

export class Trunk extends DurableObject {
  async fetch(request) {
    const url = new URL(request.url);
    const before = loaded;
    try {
      await this[url.pathname.slice(1)](Number(url.searchParams.get("n")));
      return Response.json({ loaded: loaded - before });
    } catch (error) {
      return new Response(String(error.stack), { status: 500 });
    }
  }

  leaf(name) {
    return this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Leaf, id: name }));
  }

  // Not by name: named code is never freed.
  tool(name, source) {
    const start = () => ({
      class: this.env.LOADER.load(codeOf(source)).getDurableObjectClass("Tool"), id: name,
    });
    return this.ctx.facets.get(name, start);
  }

  end(name) { this.ctx.facets.abort(name, new Error("done")); }

  nothing() {}
  echo(n) { const leaf = this.leaf("leaf"); return times(n, (i) => leaf.echo(i)); }
  insert(n) { const leaf = this.leaf("leaf"); return times(n, (i) => leaf.insert(i)); }
  crowd(n) {
    return Promise.all(Array.from({ length: n }, (_, i) => this.leaf("leaf " + i).insert(i)));
  }
  new_facets(n) { return times(n, (i) => this.leaf("new " + number++).echo(i)); }
  first_write(n) { return times(n, (i) => this.leaf("new " + number++).insert(i)); }
  make_old(n) { return times(n, (i) => this.leaf("old " + i).insert(i)); }
  reopen(n) { return times(n, (i) => (this.end("old " + i), this.leaf("old " + i).count())); }

  grow_tree(n) { return this.leaf("tree").grow(n); }
  clone_and_delete(n) {
    return times(n, async () => {
      this.ctx.facets.clone("tree", "copy");
      await this.leaf("copy").insert(1);
      this.ctx.facets.delete("copy");
    });
  }

  one_shot(n) {
    return times(n, (i) => {
      const source = ENTRY + "\n// number " + number++;
      return this.env.LOADER.load(codeOf(source)).getEntrypoint().main(i);
    });
  }
  write_a_tool(n) {
    return times(n, async (i) => {
      const name = "tool " + number++;
      await this.tool(name, TOOL + "\n// written for " + name).insert(i);
      this.end(name);
    });
  }
  warm(n) { const tool = this.tool("warm", TOOL); return times(n, (i) => tool.nop(i)); }
  ledger(n) {
    return times(n, async (i) => {
      const name = "ledger " + number++;
      await this.tool(name, LEDGER + "\n// written for " + name).nop(i);
      this.end(name);
    });
  }
  ledger_again(n) {
    return times(n, async (i) => {
      const name = "ledger " + number++;
      await this.tool(name, LEDGER).nop(i);
      this.end(name);
    });
  }
  live(n) { return times(n, (i) => this.tool("live " + number++, TOOL).nop(i)); }
}

export default {
  fetch: (request, env, ctx) => ctx.exports.Trunk.getByName("trunk").fetch(request),
};
