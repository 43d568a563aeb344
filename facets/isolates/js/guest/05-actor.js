// The base class of actors, and sections that calls enter one at a time.
const RESERVED = ["id", "name", "parent", "props", "env", "sql", "kv", "fs", "storage", "timers",
  "facets", "isolates", "meters", "exclusive", "transaction", "durability"];
let attributes = null;
let lock = null;

// A durable actor: public async methods and async generators are called from outside.
class Actor {
  constructor() {
    const given = attributes ?? { __proto__: null };
    const names = keys(given);
    for (let i = 0; i < names.length; i++) {
      defineProperty(this, names[i], { __proto__: null, value: given[names[i]], enumerable: false });
    }
  }
  get sql() { return sql; }
  get kv() { return kv; }
  get fs() { return fs; }
  get facets() { return children; }
  get timers() { return later; }
  get meters() { return meters; }
  // A savepoint: undone if the function throws. It may not wait.
  transaction(work) { return transaction(work); }
  // Run an async function when no other call is in such a section.
  exclusive(work) { return exclusively(work); }
}
Actor.migrations = freeze([]);
freeze(Actor.prototype);
freeze(Actor);
const ActorPrototype = Actor.prototype;

// Waiting calls get a turn of their own, or one that fails would undo what another wrote.
const exclusively = (work) => promise((done, failed) => {
  const call = turn;
  const enter = () => {
    lock = { call };
    const over = (error) => { leave(); failed(error); };
    try {
      settled(work(), (value) => { leave(); done(value); }, over);
    } catch (error) {
      over(error);
    }
  };
  if (lock === null) return enter();
  if (lock.call === call) {
    throw new errors.ExclusiveReentered("this call already holds the actor's exclusive section", {
      hint: "it would wait for itself; split the method in an exclusive shell and a plain core" });
  }
  const wait = { __proto__: null, call, failed, enter };
  add(entering, wait);
});
let entering = list();
const leave = () => {
  lock = null;
  for (let i = 0; i < entering.length; i++) {
    const wait = entering[i];
    if (wait !== null) {
      entering[i] = null;
      lock = { call: wait.call };
      schedule(wait.call, wait.enter, () => { leave(); wait.failed(new Cancelled("cancelled")); });
      return;
    }
  }
  entering = list();
};
