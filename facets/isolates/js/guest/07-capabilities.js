// References: what this isolate was handed, and what it handed out.
//
// A capability is called through messages and answered in a later pump. How often a handle came
// in is counted, and said when the engine has freed what stood for it (`drop`), in one message
// for all that went since the last pump.
const CREDIT = 16;
const PENDING = 900; // calls that wait for their answers at a time; the host allows some more
const handles = new Table();
const records = new WeakMap();
const recordOf = uncurry(WeakMap.prototype.get);
const remember = uncurry(WeakMap.prototype.set);
const deref = uncurry(WeakRef.prototype.deref);
const register = uncurry(FinalizationRegistry.prototype.register);
const Weak = WeakRef;
const asked = new Table();
let lastAsked = 0;
let queue = list();
let dropped = "";
const gone = new FinalizationRegistry((record) => {
  const held = mapGet(handles, record.handle);
  if (held !== undefined && held.record === record) mapDelete(handles, record.handle);
  dropped += (dropped ? "," : "") + "[" + record.handle + "," + record.times + "]";
});
const emitDropped = () => {
  if (!dropped) return;
  emit('["drop",[' + dropped + "]]");
  dropped = "";
};

// The capability that a handle is: one object for each handle. A function is called, an object
// has methods; a promise where it is a call, an async iterator where it is a stream.
const received = (tagged) => {
  const found = mapGet(handles, tagged[1]);
  const old = found && deref(found.weak);
  if (old) {
    found.record.times += 1;
    return old;
  }
  const about = tagged[2];
  const record = { __proto__: null, handle: tagged[1], times: 1, about, revoked: false };
  const text = "[capability " + about.name + "]";
  // Nothing here may refer to the proxy, or counting references alone would not free it.
  const get = (_target, name, self) => {
    if (name === "toString") return () => text;
    if (about.kind === "stream") {
      return name === asyncIterator ? () => items_(self_(), record, "", []) : undefined;
    }
    if (typeof name !== "string" || name[0] === "_") return undefined;
    if (name === "then" || name === "toJSON") return undefined;
    return (...args) => use(self, record, name, args);
  };
  const self_ = () => deref(mapGet(handles, record.handle).weak);
  const refused = () => { throw new WrongType(text + " is a reference; it cannot be changed"); };
  const made = new Both(about.kind === "function" ? () => {} : create(null), {
    __proto__: null,
    get: about.kind === "function" ? (_target, name) => (name === "name" ? about.name : undefined) : get,
    apply: (_target, _this, args) => use(self_(), record, "", args),
    set: refused, defineProperty: refused, deleteProperty: refused, setPrototypeOf: refused,
    getPrototypeOf: () => null, ownKeys: () => [], has: () => false,
    getOwnPropertyDescriptor: () => undefined, preventExtensions: () => false,
  });
  remember(records, made, record);
  register(gone, made, record);
  mapSet(handles, record.handle, { __proto__: null, record, weak: new Weak(made) });
  return made;
};
const Both = Proxy;

// Arguments by name, for a capability: `cap(1, named({ by: 2 }))`.
class Named {
  #values;
  constructor(values) { this.#values = values; }
  static values(named_) { return isObject(named_) && #values in named_ ? named_.#values : null; }
}
freeze(Named.prototype);
const namedValues = Named.values;
const named = (values) => new Named(values);

// `capability` is held until the answer, or its handle might be dropped while it is in use.
const use = (capability, record, method, args) => {
  const kind = record.about.methods[method];
  if (kind === "stream") return items_(capability, record, method, args);
  if (kind === "call") return called(capability, record, method, args);
  return { // what an actor that sleeps answers is not known
    then: (done, failed) => promiseThen(called(capability, record, method, args), done, failed),
    [asyncIterator]: () => items_(capability, record, method, args),
  };
};
const asyncIterator = Symbol.asyncIterator;

const called = (capability, record, method, args) => {
  let id = 0;
  return wait((done, failed) => room(() => {
    id = begin_(record, method, args, { __proto__: null, capability, call: turn, done, failed });
  }, failed), () => forget(id));
};

const begin_ = (record, method, args, waiting) => {
  if (record.revoked) {
    throw new errors.CapabilityRevoked(record.about.name + " was revoked", { fields: { method } });
  }
  const last = args.length ? namedValues(args[args.length - 1]) : null;
  if (last !== null) args.length -= 1;
  const text = dump([args, last ?? {}], outBlob, "arguments");
  lastAsked += 1;
  mapSet(asked, lastAsked, waiting);
  emit('["call",' + lastAsked + "," + record.handle + "," + quote(method) + "," +
    slice(text, 1, -1) + "," + waiting.call + "]");
  return lastAsked;
};

const forget = (id) => {
  if (!mapDelete(asked, id)) return;
  emit('["cancel",' + id + "]");
  admit();
};

const room = (work, failed) => {
  const call = turn;
  const run = () => { try { work(); } catch (error) { failed(error); } };
  if (mapSize(asked) < PENDING) return run();
  add(queue, { __proto__: null, call, run });
};
const admit = () => {
  for (let i = 0; i < queue.length; i++) {
    const next_ = queue[i];
    if (next_ !== null) {
      queue[i] = null;
      schedule(next_.call, next_.run);
      if (i > 1000) queue = rest(queue, i + 1);
      return;
    }
  }
  queue = list();
};
const rest = (from, start) => {
  const made = list();
  for (let i = start; i < from.length; i++) add(made, from[i]);
  return made;
};

// The items of a stream: the call is made when the first is asked for.
const items_ = (capability, record, method, args) => {
  const waiting = { __proto__: null, capability, call: turn, items: list(), at: 0, taken: 0,
    over: null, wake: null };
  let id = 0;
  const start_ = () => {
    waiting.call = turn;
    id = begin_(record, method, args, waiting);
    emit('["more",' + id + "," + CREDIT + "]");
  };
  const step_ = (done, failed) => {
    if (waiting.at < waiting.items.length) {
      const value = waiting.items[waiting.at++];
      if (waiting.at === waiting.items.length) {
        waiting.items = list();
        waiting.at = 0;
      }
      if (++waiting.taken === CREDIT / 2 && waiting.over === null) {
        emit('["more",' + id + "," + waiting.taken + "]");
        waiting.taken = 0;
      }
      return done({ value, done: false });
    }
    if (waiting.over === null) {
      waiting.wake = () => step_(done, failed);
      return;
    }
    const over = waiting.over;
    waiting.over = finished;
    waiting.capability = null;
    over.error === undefined ? done({ value: undefined, done: true }) : failed(over.error);
  };
  const iterator = {
    next: () => wait((done, failed) => {
      try {
        if (id === 0 && waiting.over === null) start_();
        step_(done, failed);
      } catch (error) {
        waiting.over = finished;
        failed(error);
      }
    }, () => forget(id)),
    return: (value) => {
      forget(id);
      waiting.over = finished;
      waiting.capability = null;
      return native({ value, done: true });
    },
    [asyncIterator]() { return this; },
  };
  return iterator;
};
const finished = { __proto__: null, error: undefined };

// What the host says about a call of ours; each answer gets a turn of the call it was made for.
const answered = (tag, id, value) => {
  const waiting = mapGet(asked, id);
  if (waiting === undefined) return; // it was cancelled meanwhile
  if (tag !== "item") {
    mapDelete(asked, id);
    admit();
  }
  schedule(waiting.call, () => {
    if (waiting.items === undefined) {
      tag === "ans" ? waiting.done(value) : waiting.failed(build(value));
      return;
    }
    if (tag === "item") add(waiting.items, value);
    else waiting.over = { __proto__: null, error: tag === "err" ? build(value) : undefined };
    const wake = waiting.wake;
    waiting.wake = null;
    if (wake !== null) wake();
  });
};

const revoked = (handle) => {
  const held = mapGet(handles, handle);
  if (held !== undefined) held.record.revoked = true;
};

// -- what this isolate hands out -------------------------------------------------------------------

const marks = new WeakSet();
const mark = uncurry(WeakSet.prototype.add);
const isMarked = uncurry(WeakSet.prototype.has);
const exports_ = new Table();
const numbers = new Table();
let lastExport = 0;

// Let others call this: a function, an object, or the objects of a class. It leaves the isolate
// as a reference, and dies with it.
const capability = (value) => {
  if (typeof value === "function") mark(marks, isClass(value) ? value.prototype : value);
  else if (isObject(value)) mark(marks, value);
  else throw new WrongType("a capability is a function, an object or a class");
  return value;
};

// The tagged value that stands for a capability, or for something marked; null for mere data.
const reference = (value, blob, path) => {
  const record = recordOf(records, value);
  if (record === undefined && !isReference(value)) return null;
  if (!blob.references) throw refuse(path, "a capability is not data; it cannot be stored");
  if (record !== undefined) return '{"$":["r",' + record.handle + "]}";
  let number_ = mapGet(numbers, value);
  if (number_ === undefined) {
    number_ = ++lastExport;
    mapSet(numbers, value, number_);
    mapSet(exports_, number_, { __proto__: null, value, about: about(value), times: 0 });
  }
  const one = mapGet(exports_, number_);
  one.times += 1;
  add(blob.given, number_);
  const methods = keys(one.about);
  let text = "";
  for (let i = 0; i < methods.length; i++) {
    text += (i ? "," : "") + quote(methods[i]) + ":" + quote(one.about[methods[i]]);
  }
  return '{"$":["g",' + number_ + ',{"kind":"' +
    formOf(value) + '","name":' + quote(nameOf(value)) +
    ',"methods":{' + text + "}}]}";
};
const isReference = (value) => {
  if (isMarked(marks, value)) return true;
  if (typeof value === "function") return false;
  for (let at = getPrototypeOf(value); at && at !== ObjectPrototype; at = getPrototypeOf(at)) {
    if (isMarked(marks, at)) return true;
  }
  return isGenerator(value);
};
// An async generator always leaves as a stream.
const isGenerator = (value) => {
  for (let at = getPrototypeOf(value); at; at = getPrototypeOf(at)) {
    if (at === AsyncGenerator) return true;
  }
  return false;
};
const nameOf = (value) => {
  const from = typeof value === "function" ? value : read(value, "constructor");
  const name = from && read(from, "name");
  return typeof name === "string" && name ? slice(name, 0, 200) : typeof value;
};
const formOf = (value) =>
  (typeof value === "function" ? "function" : isGenerator(value) ? "stream" : "object");
const about = (value) => {
  if (typeof value === "function") return { __proto__: null, "": kindOf(value) ?? "call" };
  if (isGenerator(value)) return { __proto__: null, "": "stream" };
  const made = { __proto__: null };
  for (let at = value; at && at !== ObjectPrototype; at = getPrototypeOf(at)) {
    const names = ownKeys(at);
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      if (typeof name !== "string" || name === "constructor" || name[0] === "_") continue;
      const method = getOwnPropertyDescriptor(at, name).value;
      if (typeof method === "function" && made[name] === undefined) {
        made[name] = kindOf(method) ?? "call";
      }
    }
  }
  return made;
};
// What was counted for a message that is not sent after all.
const takeBack = (blob, size) => {
  while (blob.given.length > size) {
    blob.given.length -= 1;
    letGo(blob.given[blob.given.length], 1);
  }
};
const letGo = (number_, times) => {
  const one = mapGet(exports_, number_);
  one.times -= times;
  if (one.times > 0) return;
  mapDelete(exports_, number_);
  mapDelete(numbers, one.value);
};
const returned = (tagged) => mapGet(exports_, tagged[1]).value;

// What a call to an export runs.
const callExport = (to, args) => {
  const one = mapGet(exports_, to[0]);
  if (one === undefined || one.about[to[1]] === undefined) {
    throw new WrongType("there is no method " + quote(to[1]));
  }
  if (typeof one.value !== "function" && !to[1]) return one.value;
  return to[1] ? apply(one.value[to[1]], one.value, args) : apply(one.value, undefined, args);
};
const exportKind = (to) => mapGet(exports_, to[0])?.about[to[1]];
