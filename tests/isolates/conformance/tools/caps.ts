// The tool of the suite that uses capabilities, in TypeScript.
import { Actor, capability, errors, named } from "facets";

type Cap = (...args: unknown[]) => Promise<unknown>;

class Counter {
  private n: number = 0;
  async up(by: any = 1): Promise<number> { return (this.n += typeof by === "object" ? by.by : by); }
  async *each(n) { for (let i = 0; i < n; i++) yield i; }
  _hidden() { return 1; }
}
capability(Counter);

export class Tool extends Actor {
  static migrations = ["create table t(n)"];
  async call(cap: Cap, ...args: unknown[]) { return cap(...args); }
  async by_name(cap, x) { return cap(named({ x })); }
  async sell(shop, what) { return shop.sell(what); }
  async secret(shop) { return shop._secret(); }
  async listed(shop, n) {
    const made: unknown[] = [];
    for await (const item of shop.list(n)) made.push(item);
    return made;
  }
  async granted() { return [await this.env.f(1), await this.props[0].stock()]; }
  async many(cap, n) { return Promise.all(Array.from({ length: n }, (_, i) => cap(i))); }
  async items(cap: Cap, ...args: unknown[]) {
    const made: unknown[] = [];
    for await (const item of cap(...args)) made.push(item);
    return made;
  }
  async first(cap, n) {
    const taken = [];
    for await (const item of cap()) if (taken.push(item) === n) return taken;
  }
  async keep(cap) { return (this.kept = cap); }
  async again(...args) { return this.kept(...args); }
  async let_go() { this.kept = null; }
  async same(a: unknown, b: unknown): Promise<boolean> { return a === b; }
  async write(cap) {
    this.sql("insert into t values (1)");
    await cap();
    this.sql("insert into t values (2)");
  }
  async store(cap) { this.kv.set("a", [cap]); }
  async caught(cap) {
    try {
      await cap();
    } catch (error) {
      return [error.name, error instanceof errors.LookupError, error.message];
    }
  }
  async counter() { return (this.made = new Counter()); }
  async function() { return capability(async (x) => 2 * x); }
  async mine(it) { return it === this.made; }
  async give(cap) { return cap(capability((x: number): number => x + 1)); }
  async unmarked(cap) { return cap({ f: () => 1 }); }
}
