// The tool of the conformance suite, in JavaScript.
import { Actor, errors, sleep } from "facets";

class Own extends errors.ValueError {}

export class Tool extends Actor {
  static migrations = ["create table t(n integer)", "create table u(n integer unique)"];
  static exclusive = ["alone"];
  seen = 0;
  started = false;
  order = [];
  #open;
  gate = new Promise((resolve) => { this.#open = resolve; });

  async onStart() { this.started = true; }

  // -- values

  async add(a, b = 1) { return a + (typeof b === "object" ? b.b : b); }
  async echo(value) { return value; }
  async who() { return [this.id, this.name, this.props, this.env]; }
  async kinds() {
    return [2n ** 70n, new Set(["a", "b"]), new Map([[1, "x"]]), new Uint8Array([0, 255]),
      Infinity, "é".repeat(3000) + "\u{1f600}", undefined];
  }
  async strange() { return [{ x: () => 1 }]; }

  // -- state

  async count() { return ++this.seen; }
  async has_started() { return this.started; }
  helper() { return 1; }
  async _private() { return 2; }
  #put(n) { this.sql("insert into t values (?)", n); }
  async store(n) { this.#put(n); }
  async values() { return [...this.sql("select n from t order by rowid")].map((row) => row.n); }

  // -- steps

  async two_steps_then_fail() {
    this.#put(1);
    await sleep(1);
    this.#put(2);
    throw new RangeError("second step");
  }
  async savepoint() {
    this.#put(1);
    try {
      this.transaction(() => {
        this.#put(2);
        this.transaction(() => this.#put(3));
        throw new RangeError();
      });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
    this.transaction(() => this.#put(4));
  }
  async across() {
    this.transaction(async () => {
      this.#put(1);
      await sleep(1);
    });
  }
  async *items_then_fail() {
    this.#put(1);
    yield 1;
    this.#put(2);
    throw new RangeError("after the item");
  }
  async hang() {
    this.#put(1);
    await sleep(1);
    this.#put(2);
    await sleep(60_000);
  }
  async hang_and_clean() {
    try {
      await sleep(60_000);
    } finally {
      this.#put(7);
    }
  }

  // -- storage

  async rows() {
    this.sql.many("insert into t values (?)", [[3], [4]]);
    const rows = this.sql("select n, n * 2 as m from t where n > :low order by n", { low: 2 });
    const first = rows.first();
    return [rows.columns, rows.length, rows.all().map((row) => row.m), first.n, [...first]];
  }
  async none() { return this.sql("select 1 where 0").value(); }
  async many() { return this.sql("select 1 union select 2").one(); }
  async broken() { this.sql("selekt 1"); }
  async twice() {
    this.sql("insert into u values (1)");
    try {
      this.sql("insert into u values (1)");
    } catch (error) {
      if (error instanceof errors.ConstraintError) return error.code;
    }
  }
  async unstorable() { this.kv.set("x", () => 1); }
  async keys() {
    this.kv.set("b", [1, { x: new Uint8Array([121]) }]);
    this.kv.setMany({ a: 1, ab: null });
    this.kv.delete("ab");
    return [this.kv.get("b"), this.kv.get("zz", 7), this.kv.has("a"), this.kv.has("zz"),
      this.kv.size, this.kv.list({ prefix: "a" })];
  }
  async files() {
    this.fs.mkdir("/d", { existOk: true });
    this.fs.write("/d/x.txt", "né");
    this.fs.append("/d/x.txt", new Uint8Array([33]));
    let missing;
    try {
      this.fs.read("/nothing");
    } catch (error) {
      if (error instanceof errors.FileMissing) missing = error.path;
    }
    return [this.fs.listdir("/d"), this.fs.readText("/d/x.txt"), this.fs.stat("/d/x.txt").size,
      missing];
  }

  // -- streams

  async *numbers(n) { for (let i = 0; i < n; i++) yield i; }
  async *forever() {
    try {
      for (let i = 0; ; i++) yield i;
    } finally {
      console.log("closed");
    }
  }

  // -- concurrency

  async first() {
    this.order.push("first waits");
    await this.gate;
    this.order.push("first goes on");
  }
  async second() {
    this.order.push("second");
    this.#open();
  }
  async said() { return this.order; }
  async alone() {
    const n = this.sql("select count(*) from t").value();
    await sleep(1);
    this.#put(n);
  }
  async section() {
    await this.exclusive(async () => {
      const n = this.sql("select count(*) from t").value();
      await sleep(1);
      this.#put(n);
    });
  }
  async hold() { await this.exclusive(() => this.gate); }
  async section_twice() { return this.exclusive(() => this.exclusive(async () => 1)); }
  async naps() {
    const woke = [];
    await Promise.all([3, 1, 2].map(async (n) => {
      await sleep(n * 10);
      woke.push(n);
    }));
    return woke;
  }

  // -- errors and output

  async fail() { throw new RangeError("no luck"); }
  async own() { throw new Own("mine"); }
  async noisy() {
    console.log("one", 2);
    console.error("careful \ud800 é");
  }
  async chance() { return Math.random(); }

  // -- limits

  async spin() { for (;;); }
  async deep() {
    const f = (n) => f(n + 1) + 1;
    return f(0);
  }
  async eat() {
    const kept = [];
    for (;;) kept.push(new Uint8Array(1 << 20));
  }
  async flood() { for (;;) console.log("x".repeat(10_000)); }
  async large() { return "x".repeat(2 << 20); }
  async busy() { for (;;) this.sql("select 1"); }
  async stubborn() { for (;;) await null; }
  async leave(cap) { void (async () => { for (;;) await cap(); })(); }
  async patient() { await new Promise(() => {}); }
}
