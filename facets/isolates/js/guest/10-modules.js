// The tool's own modules, what can be called in them, and the answer that says so.
const PROTOCOL = 1;
const OURS = "facets";
const EXTENSIONS = [".js", ".mjs", ".ts", ".mts", ".json", ".txt"];
const sources = new Table();
const facets = { __proto__: null, Actor, Row, Rows, errors: freeze(errors), sleep,
  capability, named, Start, fetch };

// Modules of packages are the host's until they are imported; their names begin so.
const PACKAGES = "npm:";
let hosted = false;
const hostFile = (parts) => {
  const said = receive(ask('[0,0,"file",[' + parts + "]]"));
  if (said[0]) return lift(said[1]);
  throw build(lift(said[1]));
};
const inPackages = (from, wanted) =>
  hosted ? hostFile('"find",' + quote(from) + "," + quote(wanted)) ?? undefined : undefined;

// The module that `from` means by `wanted`, or undefined.
const resolve = (from, wanted) => {
  if (startsWith(from, PACKAGES)) return inPackages(from, wanted);
  if (wanted === OURS) return OURS;
  const relative = startsWith(wanted, "./") || startsWith(wanted, "../");
  const path = relative ? joinPath(from, wanted) : wanted;
  if (path === null) return undefined;
  if (mapHas(sources, path)) return path;
  for (let i = 0; i < EXTENSIONS.length; i++) {
    if (mapHas(sources, path + EXTENSIONS[i])) return path + EXTENSIONS[i];
  }
  // TypeScript names the file that it will become.
  if (endsWith(path, ".js") || endsWith(path, ".mjs")) {
    const typed = slice(path, 0, -2) + "ts";
    if (mapHas(sources, typed)) return typed;
  }
  return relative ? undefined : inPackages("", wanted);
};

const joinPath = (from, wanted) => {
  let folder = from === OURS || lastIndexOf(from, "/") < 0 ? "" : slice(from, 0, lastIndexOf(from, "/"));
  let rest = wanted;
  for (;;) {
    if (startsWith(rest, "./")) rest = slice(rest, 2);
    else if (startsWith(rest, "../")) {
      if (!folder) return null;
      folder = lastIndexOf(folder, "/") < 0 ? "" : slice(folder, 0, lastIndexOf(folder, "/"));
      rest = slice(rest, 3);
    } else return folder ? folder + "/" + rest : rest;
  }
};

const source = (name) => {
  if (name === OURS) {
    let text = "const facets = globalThis.__facets;\n";
    const names = keys(facets);
    for (let i = 0; i < names.length; i++) {
      text += "export const " + names[i] + " = facets." + names[i] + ";\n";
    }
    return text;
  }
  const text = startsWith(name, PACKAGES) ? hostFile('"load",' + quote(name)) : mapGet(sources, name);
  if (endsWith(name, ".json")) return "export default JSON.parse(" + quote(text) + ");";
  if (endsWith(name, ".txt")) return "export default " + quote(text) + ";";
  return text || ";";
};

// Load the runtime's own module, before any other: a tool sees no more of it than it exports.
const begin = () => {
  globalThis.__facets = facets;
  promiseThen(import("facets"), () => { delete globalThis.__facets; });
  answer = undefined;
};
let answer;

const boot = (message) => {
  const order = receive(message);
  longest = order.output;
  hosted = order.tops.length > 0;
  if (order.proto[0] > PROTOCOL || order.proto[1] < PROTOCOL) {
    return '["err",{"type":"Protocol","message":"this guest speaks ' + PROTOCOL + '"}]';
  }
  const given = lift(order.modules), names = keys(given);
  for (let i = 0; i < names.length; i++) mapSet(sources, names[i], given[names[i]]);
  attributes = lift(order.identity);
  attributes.props = lift(order.props);
  attributes.env = lift(order.env);
  answer = null;
  promiseThen(import("./" + order.main), (module) => {
    try {
      target = new Target(module, order.target, order.actor);
      answer = '["ready",' + target.ready() + "]";
    } catch (error) {
      answer = '["err",' + describe(error) + "]";
    }
  }, (error) => { answer = '["err",' + describe(error) + "]"; });
  return undefined;
};

// What `boot` led to, once; `next` asks.
const booted = () => {
  const said = answer ?? '["err",' + describe(new Fault(
    "the main module waits for something at its top level; only promises that are settled " +
    "by then can be awaited there")) + "]";
  answer = undefined;
  flushOutput();
  return said;
};

// Touch what a load and a call touch, in an engine into which nothing was loaded yet. No tool can
// have a module of this name.
const REHEARSAL = `
import { Actor, errors, sleep } from "facets";
const WORD = /^([a-z]+)(\\d{2})?$/;
class Item { constructor(name, size = 0) { this.name = name; this.size = size; } }
export class Tool extends Actor {
  static migrations = ["create table t(x)"];
  #n = 0;
  #check(text) {
    const found = WORD.exec(text.trim());
    if (found === null) throw new RangeError(\`\${JSON.stringify(text)} is no word\`);
    return new Item(found[1], text.length + this.#n);
  }
  async run(n) {
    const found = {};
    for (const name of ["a", "b12", "c"]) found[name] = this.#check(name).size;
    for (let i = 0; i < n; i++) found[i] = [...Object.keys(found)].map((one) => one + i);
    return found;
  }
  async *items() { yield { n: this.#n }; }
}`;
const rehearse = () => {
  const name = "facets:rehearsal";
  mapSet(sources, name, REHEARSAL);
  promiseThen(import("./facets:rehearsal"), (module) => {
    mapDelete(sources, name);
    attributes = { __proto__: null, id: "" };
    target = new Target(module, "Tool", true);
    target.ready();
    take(["call", 0, "run", [1], {}]);
    take(["call", 0, "items", [], {}]);
    schedule(0, () => {
      target = attributes = null;
      const open = mapGet(calls, 0);
      if (open !== undefined) close(open);
    });
  });
};

class NoTarget extends Fault {}
hide(NoTarget.prototype, "name", "NoTarget");

// The thing that calls go to: an actor, a plain class, a function, or the module's functions.
// Its object is made by the first call.
class Target {
  constructor(module, name, actor) {
    this.module = module;
    this.methods = { __proto__: null };
    this.plain = list();
    this.hooks = { __proto__: null };
    this.migrations = list();
    this.exclusive = list();
    this.type = null;
    this.made = null;
    if (!name) return this.functions();
    const found = hasOwn(module, name) ? module[name]
      : name === "main" && hasOwn(module, "default") ? module.default : undefined;
    if (found === undefined) throw new NoTarget("there is no exported " + quote(name) + "; there is " +
      stringify(keys(module)));
    if (typeof found !== "function") {
      throw new NoTarget(name + (actor ? " is not a class" : " is neither a class nor a function"));
    }
    const isActor = inherits(found);
    if (isActor || isClass(found)) {
      if (actor && !isActor) {
        throw new NoTarget(name + " is not an Actor; write `class " + name + " extends Actor`");
      }
      this.describe(found, isActor);
    } else if (actor) throw new NoTarget(name + " is not a class");
    else {
      this.methods[""] = kindOf(found) ?? "call";
      this.function = found;
    }
  }

  functions() {
    const names = keys(this.module);
    for (let i = 0; i < names.length; i++) {
      const value = this.module[names[i]];
      if (typeof value === "function" && names[i][0] !== "_" && !isClass(value)) {
        this.methods[names[i]] = kindOf(value) ?? "call";
      }
    }
  }

  describe(type, isActor) {
    this.type = type;
    const seen = new Table();
    for (let at = type.prototype; at && at !== ActorPrototype && at !== ObjectPrototype;
        at = getPrototypeOf(at)) {
      const names = ownKeys(at);
      for (let i = 0; i < names.length; i++) {
        const name = names[i];
        if (typeof name !== "string" || name === "constructor" || name[0] === "_") continue;
        if (mapHas(seen, name)) continue;
        mapSet(seen, name, true);
        if (isActor && reserved(name)) {
          throw new WrongType(type.name + " defines " + name + ", reserved by Actor");
        }
        this.member(name, getOwnPropertyDescriptor(at, name).value);
      }
    }
    if (!isActor) return;
    const given = type.migrations;
    for (let i = 0; i < given.length; i++) add(this.migrations, Text(given[i]));
    const closed = type.exclusive ?? [];
    for (let i = 0; i < closed.length; i++) {
      if (this.methods[closed[i]] !== "call") {
        throw new WrongType("static exclusive names " + closed[i] + ", which is no async method");
      }
      add(this.exclusive, closed[i]);
    }
  }

  member(name, value) {
    if (typeof value !== "function") return;
    const hook = name === "onStart" ? "on_start" : name === "onStop" ? "on_stop"
      : name === "onFacetDue" ? "on_facet_due" : null;
    const kind = kindOf(value);
    if (hook) this.hooks[hook] = name;
    else if (kind) this.methods[name] = kind;
    else add(this.plain, name);
  }

  kind(method) { return this.methods[method] ?? "call"; }

  call(method, args, timed = false) {
    if (this.function) return apply(this.function, undefined, args);
    if (this.type === null) return apply(this.module[method], undefined, args);
    const made = this.made ??= construct(this.type, []);
    if (timed && privateMethod(made, method)) return apply(made[method], made, args);
    if (this.methods[method] === undefined) {
      const hook = this.hooks[method];
      if (hook === undefined) throw new WrongType("there is no method " + quote(method));
      return apply(made[hook], made, args);
    }
    for (let i = 0; i < this.exclusive.length; i++) {
      if (this.exclusive[i] === method) {
        return exclusively(() => apply(made[method], made, args));
      }
    }
    return apply(made[method], made, args);
  }

  ready() {
    const texts = (values) => {
      let text = "";
      for (let i = 0; i < values.length; i++) text += (i ? "," : "") + quote(values[i]);
      return "[" + text + "]";
    };
    let methods = "";
    const names = keys(this.methods);
    for (let i = 0; i < names.length; i++) {
      methods += (i ? "," : "") + quote(names[i]) + ":" + quote(this.methods[names[i]]);
    }
    return '{"proto":' + PROTOCOL + ',"methods":{' + methods + "}" +
      ',"exclusive":' + texts(this.exclusive) + ',"plain":' + texts(this.plain) +
      ',"migrations":' + texts(this.migrations) + ',"hooks":' + texts(keys(this.hooks)) + "}";
  }
}

const reserved = (name) => {
  for (let i = 0; i < RESERVED.length; i++) if (RESERVED[i] === name) return true;
  return false;
};
const inherits = (type) => {
  for (let at = type; at; at = getPrototypeOf(at)) if (at === Actor) return true;
  return false;
};
const isClass = (value) => {
  const own = getOwnPropertyDescriptor(value, "prototype");
  return own !== undefined && own.writable === false;
};
const kindOf = (value) => {
  const proto = getPrototypeOf(value);
  return proto === AsyncFunction ? "call" : proto === AsyncGeneratorFunction ? "stream" : null;
};
// Nothing of theirs is found on, or set through, a prototype that a tool could change.
for (const type of [Blob, Call, Turn, Target]) Object.setPrototypeOf(type.prototype, null);
for (const type of [Row, Rows, Foreign, Blob, Named, Start, Headers, Response, Call, Turn, Target]) {
  freeze(type.prototype);
  freeze(type);
}
// Not their prototypes: `this.name = "Mine"` in a class of the tool would no longer work.
for (const name of keys(errors)) freeze(errors[name]);
