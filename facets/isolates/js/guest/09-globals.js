// What a tool finds under global names and the engine lacks, or has of its own.
const LINE = 65536;
const lines = { __proto__: null, 1: "", 2: "" };

const write = (stream, text) => {
  lines[stream] += wellFormed(text) + "\n";
  if (lines[stream].length > LINE) flushStream(stream);
};
const flushStream = (stream) => {
  const text = lines[stream];
  lines[stream] = "";
  for (let at = 0; at < text.length; at += LINE) {
    print(stream + wellFormed(slice(text, at, at + LINE)));
  }
};
const flushOutput = () => {
  if (lines[1]) flushStream(1);
  if (lines[2]) flushStream(2);
};
const uncaught = (error) => {
  undo();
  const said = parse(describe(error));
  write(2, "Uncaught " + said.traceback);
};

// A value as `console.log` shows it.
const show = (value, depth) => {
  if (typeof value === "string") return depth ? quote(value) : value;
  if (typeof value === "bigint") return value + "n";
  const held = isObject(value) || typeof value === "function" ? recordOf(records, value) : undefined;
  if (held) return "[capability " + held.about.name + "]";
  if (typeof value === "function") return "[function " + short(value.name) + "]";
  if (!isObject(value)) return short(value);
  if (value instanceof Fault) return traceback(value, true, short(value.name), short(value.message));
  if (depth > 3) return isArray(value) ? "[...]" : "{...}";
  let text = "";
  if (isArray(value)) {
    for (let i = 0; i < value.length && i < 100; i++) {
      text += (i ? ", " : "") + show(value[i], depth + 1);
    }
    return "[" + text + (value.length > 100 ? ", ...]" : "]");
  }
  if (value instanceof Table || value instanceof Group) {
    (value instanceof Table ? mapEach : setEach)(value, (item, key) => {
      text += (text ? ", " : "") + (value instanceof Table ? show(key, depth + 1) + " => " : "") +
        show(item, depth + 1);
    });
    return (value instanceof Table ? "Map {" : "Set {") + text + "}";
  }
  if (value instanceof Moment || value instanceof Foreign) return short(value);
  const names = keys(value);
  for (let i = 0; i < names.length && i < 100; i++) {
    text += (i ? ", " : "") + names[i] + ": " + show(value[names[i]], depth + 1);
  }
  return "{" + text + "}";
};
const shown = (values) => {
  let text = "";
  for (let i = 0; i < values.length; i++) {
    try {
      text += (i ? " " : "") + show(values[i], 0);
    } catch {
      text += "<not shown>";
    }
  }
  return text;
};
const log = (...values) => write(1, shown(values));
const complain = (...values) => write(2, shown(values));

// -- random numbers: the engine's own seed is that of its snapshot ---------------------------------

let seeded = false;
let [a, b, c, d] = [0, 0, 0, 0];
const word = () => {
  if (!seeded) {
    seeded = true;
    a = (random() * 2 ** 32) | 0;
    b = (random() * 2 ** 32) | 0;
    c = (random() * 2 ** 32) | 0;
    d = 1;
    for (let i = 0; i < 12; i++) word();
  }
  const t = (((a + b) | 0) + d) | 0;
  d = (d + 1) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = ((c << 21) | (c >>> 11)) + t | 0;
  return t >>> 0;
};
const fill = (array) => {
  const into = view(array);
  for (let i = 0; i < into.length; i++) into[i] = floor(random() * 256);
  return array;
};
const uuid = () => {
  const raw = fill(new Bytes(16));
  raw[6] = (raw[6] & 15) | 64;
  raw[8] = (raw[8] & 63) | 128;
  let text = "";
  for (let i = 0; i < 16; i++) {
    text += (i === 4 || i === 6 || i === 8 || i === 10 ? "-" : "") +
      slice("0" + hexOf(raw[i]), -2);
  }
  return text;
};
const hexOf = (n) => hex(Int(n), 16);

const install = (owner, members) => {
  for (const name of ownKeys(members)) hide(owner, name, members[name]);
};
install(Math, { random: () => word() / 2 ** 32 });
const callback = (work) => {
  if (typeof work !== "function") throw new WrongType("a function is needed");
  return work;
};
install(globalThis, {
  console: { log, info: log, debug: log, warn: complain, error: complain, trace: complain,
    assert: (held, ...values) => { if (!held) complain("Assertion failed:", ...values); } },
  setTimeout: (work, ms, ...args) => addTimer(() => apply(callback(work), undefined, args), ms, false),
  setInterval: (work, ms, ...args) => addTimer(() => apply(callback(work), undefined, args), ms, true),
  clearTimeout: (id) => { mapDelete(timers, id); },
  clearInterval: (id) => { mapDelete(timers, id); },
  queueMicrotask: (work) => {
    callback(work);
    promiseThen(native(undefined), () => { try { work(); } catch (error) { uncaught(error); } });
  },
  fetch, Headers, Response,
  structuredClone: (value) => {
    const blob = new Blob(), text = dump(value, blob);
    return lift(receive("[" + text + "]" + (blob.text ? "\n" + blob.text : ""))[0]);
  },
  crypto: freeze({ __proto__: null, getRandomValues: fill, randomUUID: uuid }),
  TextEncoder: class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return encodeText(text); }
  },
  TextDecoder: class TextDecoder {
    get encoding() { return "utf-8"; }
    decode(data = new Bytes(0)) { return decodeText(isView(data) ? view(data) : new Bytes(data)); }
  },
});
delete globalThis.SharedArrayBuffer;
