// The tool of the suite that gives and takes async generators, in TypeScript.
import { Actor, errors, sleep } from "facets";

export class Tool extends Actor {
  made: number = 0;
  closed = 0;
  async *count_(n) {
    try {
      for (let i = 0; i < n; i++) {
        this.made += 1;
        yield [i];
      }
    } finally {
      this.closed += 1;
    }
  }
  async *broken_() {
    yield 0;
    yield 1;
    throw new errors.LookupError("behind the items");
  }
  async *stuck_() {
    try {
      yield 0;
      await sleep(1e6);
    } finally {
      this.closed += 1;
    }
  }
  async all(items: AsyncIterable<unknown>): Promise<unknown[]> {
    const made: unknown[] = [];
    for await (const item of items) made.push(item);
    return made;
  }
  async first(items, n) {
    const taken = [];
    for await (const item of items) if (taken.push(item) === n) break;
    return taken;
  }
  async leave(items) { for await (const item of items) return item; }
  async inside(value) { return this.all(value.a[0]); }
  async granted() { return [await this.all(this.env.items), await this.all(this.props[0])]; }
  async give(n) {
    this.given = this.count_(n);
    return { stream: [this.given] };
  }
  async give_broken() { return this.broken_(); }
  async give_stuck() { return this.stuck_(); }
  async pass_to(cap, n) { return cap(this.count_(n)); }
  async progress() { return [this.made, this.closed]; }
  async is_mine(items) { return items === this.given; }
  async keep(items) {
    this.kept = items[Symbol.asyncIterator]();
    return (await this.kept.next()).value;
  }
  async next() { return (await this.kept.next()).value; }
  async forget() { await this.kept.return(); }
  async echo(items) { return items; }
  async wait_for(items) { for await (const _item of items); }
  async store(items) { this.kv.set("a", [items]); }
}
