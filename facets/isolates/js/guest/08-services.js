// The runtime's own services, handle 0: `this.facets`, child actors whose classes are of the same
// source, each in its own isolate; and `fetch`, the only way out of it.
const OWN = { __proto__: null, handle: 0, revoked: false,
  about: { __proto__: null, name: "runtime", methods: { __proto__: null, open: "stream" } } };
const ask_ = (service, args) => called(null, OWN, service, args);

const ownNow = (service, args) => {
  const blob = new Blob(true);
  return operate("own", quote(service) + "," + dump(args, blob, "argument") + ",{}", blob);
};

// A class and what its actor sees as `this.props`.
class Start {
  #type;
  #props;
  constructor(type, props = null) { this.#type = type; this.#props = props; }
  static parts(start) {
    return isObject(start) && #type in start ? [start.#type, start.#props] : [start, null];
  }
}
freeze(Start.prototype);
const startParts = Start.parts;
const classOf = (start) => {
  const parts = startParts(start), type = parts[0];
  if (typeof type === "function" && inherits(type)) {
    const names = keys(target.module);
    for (let i = 0; i < names.length; i++) {
      if (target.module[names[i]] === type) return [names[i], parts[1]];
    }
  }
  throw new WrongType("a facet runs an Actor class that the main module exports, or a Start of one");
};
const children = freeze({
  __proto__: null,
  // A stub of the facet; it starts with its first call.
  get(name, start) {
    const found = classOf(start);
    return ownNow("facets.get", [name, found[0], found[1]]);
  },
  // New code over the same data.
  replace(name, start) {
    const found = classOf(start);
    return ownNow("facets.replace", [name, found[0], found[1]]);
  },
  abort: (name, reason = "aborted by its parent") => ownNow("facets.abort", [name, Text(reason)]),
  delete: (name) => ownNow("facets.delete", [name]),
  rename: (name, newName) => ownNow("facets.rename", [name, newName]),
  // Below another actor of this source: `to` is its stub.
  move: (name, to, newName = null) => ownNow("facets.move", [name, to, newName]),
  list: () => ownNow("facets.list", []),
  // What is known of it without waking it; sums and counts of rows if asked for.
  stat: (name, given = {}) => freeze(ownNow("facets.stat",
    [name, given.below === true, given.rows === true])),
  // It and all below it: objects of path, state and size.
  tree: (name) => {
    const found = ownNow("facets.tree", [name]);
    for (let i = 0; i < found.length; i++) {
      const one = found[i];
      found[i] = freeze({ __proto__: null, path: one[0], state: one[1], size: one[2] });
    }
    return found;
  },
  exists: (name) => ownNow("facets.exists", [name]),
  clone: (source_, target_) => ask_("facets.clone", [source_, target_]),
});

// -- timers ----------------------------------------------------------------------------------------

// Whether an actor has a private async method of this name, which timers may call.
const privateMethod = (made, name) => {
  if (name[0] !== "_" || name[1] === "_") return false;
  for (let at = getPrototypeOf(made); at && at !== ActorPrototype && at !== ObjectPrototype;
      at = getPrototypeOf(at)) {
    if (hasOwn(at, name)) {
      const value = getOwnPropertyDescriptor(at, name).value;
      return typeof value === "function" && kindOf(value) === "call";
    }
  }
  return false;
};
const timersNow = (verb, args, given = {}) => {
  const blob = new Blob();
  return operate("timers", quote(verb) + "," + stored(args, blob, "timers") + "," +
    stored(options(given), blob, "timers"), blob);
};
const moment = (seconds) => (seconds === null ? null : new Moment(seconds * 1000));
const shownTimers = (rows) => {
  for (let i = 0; i < rows.length; i++) {
    const one = rows[i], retry = one[10];
    rows[i] = freeze({ __proto__: null, id: one[0], name: one[1], method: one[2], args: one[3],
      kwargs: one[4], due: moment(one[5]), scheduledFor: moment(one[6]), every: one[7],
      cron: one[8], tz: one[9], retry: freeze({ __proto__: null, first: retry[0],
        factor: retry[1], most: retry[2], attempts: retry[3], jitter: retry[4] }),
      attempt: one[11], error: one[12] });
  }
  return rows;
};
const addLater = (verb, when, method, args, given) => {
  const name = typeof method === "function" ? method.name : Text(method);
  if (name[0] === "_" && !(target.made && privateMethod(target.made, name))) {
    throw new errors.NotCallable(quote(name) + " is no async method of this class");
  }
  return timersNow(verb, [when, name, args, {}], given);
};

// Methods of this actor to be called later: `method` is its name, or the method; its arguments are
// an array; `name`, `retry` (an object: first, factor, most, attempts, jitter) and `tz` are options.
const later = freeze({
  __proto__: null,
  // Once, in so many seconds.
  after: (seconds, method, args = [], given = {}) => addLater("after", seconds, method, args, given),
  // Once, at a Date, or so many seconds after 1970.
  at: (when, method, args = [], given = {}) => addLater("at",
    when instanceof Moment ? timeOf(when) / 1000 : when, method, args, given),
  // Again and again, in seconds.
  every: (seconds, method, args = [], given = {}) => addLater("every", seconds, method, args, given),
  // Again and again, as a cron expression says.
  cron: (text, method, args = [], given = {}) => addLater("cron", text, method, args, given),
  // Forget a timer by its id or name; whether there was one.
  cancel: (which) => timersNow("cancel", [which]),
  list: () => shownTimers(timersNow("list", [])),
  // Those that failed in every attempt.
  dead: () => shownTimers(timersNow("dead", [])),
  revive: (id) => timersNow("revive", [id]),
  forget: (id) => timersNow("forget", [id]),
  // The delivery that the running turn belongs to; null in any other call.
  get current() {
    const found = ownNow("timers.current", []);
    return found && freeze({ __proto__: null, id: found[0], timer: found[1], name: found[2],
      scheduledFor: moment(found[3]), attempt: found[4] });
  },
});

// -- meters ----------------------------------------------------------------------------------------

const metersNow = (verb, args) => {
  const blob = new Blob();
  let parts = quote(verb);
  for (let i = 0; i < args.length; i++) parts += "," + stored(args[i], blob, "meters");
  return operate("meters", parts, blob);
};
// What this actor spends, under its own quota and all those above it.
const meters = freeze({
  __proto__: null,
  // Spend some of it; MeterQuota if that is more than is left.
  spend: (meter, amount) => metersNow("spend", [meter, amount]),
  // What may still be spent; Infinity without a limit.
  left: (meter) => metersNow("left", [meter]) ?? Infinity,
  // For what is known only afterwards: all of it is spent until `settle(used)` gives back the rest.
  reserve: (meter, amount) => {
    const number = metersNow("hold", [meter, amount]);
    return freeze({ __proto__: null, settle: (used) => metersNow("settle", [number, meter, used]) });
  },
});

// -- requests --------------------------------------------------------------------------------------

// Headers by name in any case, in order. What is repeated is joined with ", ".
class Headers {
  #pairs = list();
  constructor(given = []) {
    if (isObject(given) && #pairs in given) {
      for (let i = 0; i < given.#pairs.length; i++) add(this.#pairs, given.#pairs[i]);
    } else if (isArray(given)) {
      for (let i = 0; i < given.length; i++) this.append(given[i][0], given[i][1]);
    } else {
      const names = keys(given ?? {});
      for (let i = 0; i < names.length; i++) this.append(names[i], given[names[i]]);
    }
  }
  append(name, value) { add(this.#pairs, [Text(name), Text(value)]); }
  get(name) {
    let found = null;
    const wanted = lower(Text(name));
    for (let i = 0; i < this.#pairs.length; i++) {
      if (lower(this.#pairs[i][0]) !== wanted) continue;
      found = found === null ? this.#pairs[i][1] : found + ", " + this.#pairs[i][1];
    }
    return found;
  }
  has(name) { return this.get(name) !== null; }
  forEach(work) {
    for (let i = 0; i < this.#pairs.length; i++) work(this.#pairs[i][1], this.#pairs[i][0], this);
  }
  *[Symbol.iterator]() {
    for (let i = 0; i < this.#pairs.length; i++) yield [this.#pairs[i][0], this.#pairs[i][1]];
  }
  static pairs(headers) {
    const made = [];
    for (let i = 0; i < headers.#pairs.length; i++) {
      defineProperty(made, i, { __proto__: null, value: headers.#pairs[i], enumerable: true,
        writable: true, configurable: true });
    }
    return made;
  }
}
const headerPairs = Headers.pairs;

// A whole answer; one of `fetch.stream` is iterated for its body instead.
class Response {
  #body;
  #pieces;
  constructor(answer, pieces = null) {
    hide(this, "status", answer.status);
    hide(this, "ok", answer.status >= 200 && answer.status <= 299);
    hide(this, "url", answer.url);
    hide(this, "headers", new Headers(answer.headers));
    this.#body = answer.body;
    this.#pieces = pieces;
  }
  async bytes() { return this.#body; }
  async arrayBuffer() { return bufferOf(new Bytes(this.#body)); }
  async text() { return decodeText(this.#body); }
  async json() { return parse(decodeText(this.#body)); }
  [Symbol.asyncIterator]() { return this.#pieces; }
}

const prepare = (url, init) => {
  const headers = new Headers(init.headers);
  const given = init.body ?? null;
  const body = given === null ? new Bytes(0) : typeof given === "string" ? encodeText(given)
    : isView(given) ? view(given) : new Bytes(given);
  const timeout = init.timeout === undefined ? null : init.timeout / 1000;
  return [init.method ?? "GET", Text(url), headerPairs(headers), body, init.redirect ?? "follow",
    timeout];
};
// The whole answer to one request, as the web's `fetch` has it; `timeout` is in milliseconds.
const fetch = (url, init = {}) => {
  try {
    return promiseThen(ask_("fetch", prepare(url, init)), (answer) => new Response(answer));
  } catch (error) {
    return promise((_done, failed) => failed(error));
  }
};
// The same, with a body in pieces: `for await (const piece of response)`.
hide(fetch, "stream", (url, init = {}) => {
  const pieces = items_(null, OWN, "open", prepare(url, init));
  return promiseThen(pieces.next(), (head) => new Response(head.value, pieces));
});
freeze(fetch);
