// `fetch`, through the isolate's egress: the only way out of it.
const owned = { __proto__: null, handle: 0, revoked: false,
  about: { __proto__: null, name: "runtime", methods: { __proto__: null, fetch: "call" } } };

// Names in any case; what is repeated is joined with ", ".
class Headers {
  #pairs = list();
  constructor(given = {}) {
    if (given instanceof Headers) {
      for (let i = 0; i < given.#pairs.length; i++) add(this.#pairs, given.#pairs[i]);
    } else if (isArray(given)) {
      for (let i = 0; i < given.length; i++) this.append(given[i][0], given[i][1]);
    } else {
      const names = keys(given);
      for (let i = 0; i < names.length; i++) this.append(names[i], given[names[i]]);
    }
  }
  append(name, value) { add(this.#pairs, [Text(name), Text(value)]); }
  set(name, value) {
    this.delete(name);
    this.append(name, value);
  }
  delete(name) {
    const kept = list(), low = lower(Text(name));
    for (let i = 0; i < this.#pairs.length; i++) {
      if (lower(this.#pairs[i][0]) !== low) add(kept, this.#pairs[i]);
    }
    this.#pairs = kept;
  }
  get(name) {
    const low = lower(Text(name));
    let found = null;
    for (let i = 0; i < this.#pairs.length; i++) {
      if (lower(this.#pairs[i][0]) === low) {
        found = found === null ? this.#pairs[i][1] : found + ", " + this.#pairs[i][1];
      }
    }
    return found;
  }
  has(name) { return this.get(name) !== null; }
  forEach(work) {
    for (const [name, value] of this) work(value, name, this);
  }
  *entries() {
    const seen = new Group();
    for (let i = 0; i < this.#pairs.length; i++) {
      const name = lower(this.#pairs[i][0]);
      if (!setHas(seen, name)) {
        setAdd(seen, name);
        yield [name, this.get(name)];
      }
    }
  }
  [Symbol.iterator]() { return this.entries(); }
  static pairs(headers) {
    const made = [];
    for (let i = 0; i < headers.#pairs.length; i++) {
      const [name, value] = [headers.#pairs[i][0], headers.#pairs[i][1]];
      defineProperty(made, i, { __proto__: null, value: [name, value], enumerable: true });
    }
    return made;
  }
}
const pairsOf = Headers.pairs;

// A whole answer; its body may be read more than once.
class Response {
  #body;
  constructor(answer) {
    this.#body = answer.body;
    this.status = answer.status;
    this.ok = answer.status >= 200 && answer.status <= 299;
    this.url = answer.url;
    this.headers = new Headers(answer.headers);
  }
  async text() { return decodeText(this.#body); }
  async json() { return parse(decodeText(this.#body)); }
  async bytes() { return new Bytes(this.#body); }
  async arrayBuffer() { return bufferOf(new Bytes(this.#body)); }
}

const bodyOf = (body) => {
  if (body === undefined || body === null) return new Bytes(0);
  if (typeof body === "string") return encodeText(body);
  if (isView(body)) return view(body);
  if (body instanceof Buffer_) return new Bytes(body);
  throw new WrongType("a body is a string, a typed array or an ArrayBuffer");
};

// The answer to one request. Denied, late or failed rejects with EgressDenied, EgressTimeout or
// EgressFailed; a status is no error. What this step wrote is committed first.
const fetch_ = async (url, init = {}) => {
  const headers = pairsOf(new Headers(init.headers ?? {}));
  const asked_ = [Text(init.method ?? "GET"), Text(url), headers, bodyOf(init.body),
    Text(init.redirect ?? "follow"), null];
  return new Response(await called(owned, owned, "fetch", asked_));
};

install(globalThis, { fetch: fetch_, Headers, Response });
