// Runs what a model wrote. The host gives this file to an isolate, where it is the main module.

// A call of a tool: made at once, and watched, so that none fails where nobody looks.
class Call extends Promise {
  static get [Symbol.species]() { return Promise; }
  then(done, failed) {
    this.looked = true;
    return super.then(done, failed);
  }
}

// Names that something else than code asks an object for.
const HIDDEN = new Set(["then", "toJSON", "constructor"]);

// `await github.repos_get({ owner, repo })`: the tools of one connector.
const tools = (use, name, own = {}) => new Proxy(own, {
  get: (target, tool) => {
    if (typeof tool !== "string" || HIDDEN.has(tool)) return undefined;
    return target[tool] ?? ((...args) => use(name + "." + tool, args));
  },
});

const isPlain = (value) => value !== null && typeof value === "object" &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value));
const given = (args) => Object.fromEntries(
  Object.entries(args).filter(([, value]) => value !== undefined));

// What code mode itself has; `search`, `describe` and `now` are tools as any.
const codeMode = (use) => tools(use, "codemode", {
  // What `fn` returns, the first time; the same whenever this code runs again.
  step: async (name, fn) => {
    const kept = await use("codemode.step", [name]);
    if (kept.done) return kept.value;
    const value = await fn();
    await use("codemode.keep", [kept.id, value ?? null]);
    return value;
  },
});

// The code as a function: one that a text of JavaScript is the body of, with its last expression
// as its result. There is no parser here but the engine's, so it is asked about each cut. The host
// has laid the code out: what goes on in the next line has a bracket open.
const made = (code, names) => {
  const whole = compiled(code, names);
  for (const [head, last] of cuts(code)) {
    const returning = head + "return (" + last + "\n)";  // each stands on its own lines still
    if (isExpression(last, names) && parses(head, names) &&
        parses(returning, names)) {
      return compiled(returning, names);
    }
  }
  return whole;
};

const compiled = (code, names) =>
  (0, eval)("(async (" + names.join(", ") + ") => {" + code + "\n})");
const parses = (code, names) => {
  try {
    return Boolean(compiled(code, names));
  } catch {
    return false;
  }
};
const isExpression = (text, names) => !text.startsWith("class") && parses("return (" + text + "\n)", names);
const CUTS = 60;
const TRAILING = /;?\s*(?:\/\/[^\n]*\s*|\/\*[^]*?\*\/\s*)*$/;

// Where the last statement may begin, from the end: what is before it, and itself.
function* cuts(code) {
  let tried = 0;
  for (let at = code.length; at >= 0 && tried < CUTS; at--) {
    if (at > 0 && !"\n;}".includes(code[at - 1])) continue;
    const head = code.slice(0, at), rest = code.slice(at);
    const last = rest.trimStart();
    if (!last) continue;
    tried += 1;
    const before = head + rest.slice(0, rest.length - last.length);
    yield [before, last];
    const plain = last.replace(TRAILING, "");
    if (plain && plain !== last) yield [before, plain];
  }
}

// The entry point: `ask` is the only thing that leads out.
export async function main(ask, code, connectors, input) {
  const calls = [];
  const use = (path, args) => {
    const named = args.length === 1 && isPlain(args[0]);
    const call = new Call((done, failed) => {
      ask(path, named ? [] : args, named ? given(args[0]) : {}).then(done, failed);
    });
    calls.push(call);
    return call;
  };
  const names = [...connectors, "codemode", "input"];
  const values = [...connectors.map((name) => tools(use, name)), codeMode(use), input];
  const run = made(code, names);
  let result = await run(...values);
  while (typeof result === "function") result = await result(input);
  for (let i = 0; i < calls.length; i++) {
    const looked = calls[i].looked;
    try {
      await calls[i];
    } catch (error) {
      if (!looked) throw error;
    }
  }
  return result;
}
