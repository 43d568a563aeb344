// Values across the boundary, guest side; `facets/isolates/codec.py` specifies the format.
//
//     Map dict   Set set   BigInt int   Uint8Array and ArrayBuffer bytes   Date datetime
//     undefined, null None   Array list   other iterables of the language: not transferable
//
// Numbers are int outside if they are whole. What JavaScript has no type for (Decimal, UUID,
// date, time, timedelta, complex) arrives as a `Foreign`, whose text is the value's, and goes
// back as what it was. An object of a class is a record of its own public fields.
const MAX_DEPTH = 128;
const LONG = 4096;
const quote = (text) => stringify(text);

class Foreign {
  #text;
  #lowered;
  constructor(text, lowered) { this.#text = text; this.#lowered = lowered; }
  toString() { return this.#text; }
  toJSON() { return this.#text; }
  static lowered(value) { return #text in value ? value.#lowered : null; }
}
freeze(Foreign.prototype);
const foreign = Foreign.lowered;

// The attachments of one message; offsets count code points. References may cross in it or not.
class Blob {
  constructor(references = false) {
    this.text = "";
    this.size = 0;
    this.references = references;
    this.given = list();
  }
  attach(text, tag, points = text.length) {
    const at = this.size;
    this.size += points;
    this.text += text;
    return '{"$":["' + tag + '",' + at + "," + points + "]}";
  }
}
const PAIR = /[\ud800-\udbff][\udc00-\udfff]/g;
// Whether every character is a byte, found out at the speed of the engine's own code.
const isLatin = (text) => {
  try {
    fromLatin(text);
    return true;
  } catch {
    return false;
  }
};
const points = (text) => {
  if (isLatin(text)) return text.length;
  let pairs = 0;
  PAIR.lastIndex = 0;
  while (matches(PAIR, text)) pairs += 1;
  return text.length - pairs;
};

class Refused extends Fault {}

// The value as a JSON text; NotTransferable says what cannot cross, and where.
const dump = (value, blob, what = "value") => {
  switch (typeof value) {
    case "string": if (value.length <= LONG) return quote(value); break;
    case "number": if (isFinite_(value)) return number(value); break;
    case "boolean": return value ? "true" : "false";
    case "undefined": return "null";
  }
  const text = blob.text, size = blob.size, given = blob.given.length;
  try {
    return dumped(value, blob, 0, what);
  } catch (error) {
    blob.text = text;
    blob.size = size;
    takeBack(blob, given);
    if (!(error instanceof Refused)) throw error;
    throw new NotTransferable(error.message, {
      hint: "pass plain data: numbers, text, bytes, arrays, objects, Map, Set, Date",
      fields: { path: error.path },
    });
  }
};

const number = (v) => (v === 0 && is(v, -0) ? '{"$":["n","-0.0"]}' : "" + v);
const refuse = (path, reason) => {
  const error = new Refused(path + ": " + reason);
  hide(error, "path", path);
  return error;
};

const dumped = (v, blob, depth, path) => {
  switch (typeof v) {
    case "string":
      if (v.length <= LONG || !isWellFormed(v)) return quote(v);
      return blob.attach(v, "s", points(v));
    case "number":
      if (isFinite_(v)) return number(v);
      return '{"$":["n",' + (v !== v ? '"nan"' : v > 0 ? '"inf"' : '"-inf"') + "]}";
    case "boolean": return v ? "true" : "false";
    case "undefined": return "null";
    case "bigint": return '{"$":["i","' + (v < 0n ? "-0x" + hex(-v, 16) : "0x" + hex(v, 16)) + '"]}';
    case "object":
      if (v === null) return "null";
      if (depth >= MAX_DEPTH) throw refuse(path, "nested deeper than " + MAX_DEPTH);
      return object(v, blob, depth + 1, path);
    case "function": {
      const text = reference(v, blob, path);
      if (text !== null) return text;
    }
    default: throw refuse(path, "a " + typeof v + " cannot cross the boundary of an isolate");
  }
};

const object = (v, blob, depth, path) => {
  if (isArray(v)) return items(v, blob, depth, path);
  const proto = getPrototypeOf(v);
  if (proto === ObjectPrototype || proto === null) {
    return reference(v, blob, path) ?? fields(v, blob, depth, path);
  }
  const make = mapGet(MAKERS, proto) ?? special(v);
  if (make) return make(v, blob, depth, path);
  return reference(v, blob, path) ?? record(v, proto, blob, depth, path);
};
const ObjectPrototype = Object.prototype;

// Where something stands in what stands at `path`; the host's `places.py` has the same paths.
const inside = (path, key) => path === "arguments" ? "argument"
  : path === "argument" ? "argument " + key
  : path + "[" + (typeof key === "string" ? quote(key) : short(key)) + "]";
const items = (v, blob, depth, path) => {
  let text = "[";
  for (let i = 0; i < v.length; i++) {
    text += (i ? "," : "") + dumped(v[i], blob, depth, inside(path, i));
  }
  return text + "]";
};

const fields = (v, blob, depth, path) => {
  const names = keys(v);
  let text = "{";
  if (hasOwn(v, "$")) {
    for (let i = 0; i < names.length; i++) {
      text = (i ? text + "," : "") + "[" + quote(names[i]) + "," +
        dumped(v[names[i]], blob, depth, inside(path, names[i])) + "]";
    }
    return '{"$":["d",[' + text + "]]}";
  }
  for (let i = 0; i < names.length; i++) {
    text += (i ? "," : "") + quote(names[i]) + ":" +
      dumped(v[names[i]], blob, depth, inside(path, names[i]));
  }
  return text + "}";
};

const record = (v, proto, blob, depth, path) => {
  const made = hasOwn(proto, "constructor") ? proto.constructor : null;
  const name = made && typeof made.name === "string" && made.name ? made.name : "object";
  const names = keys(v);
  let text = "", some = false;
  for (let i = 0; i < names.length; i++) {
    if (names[i][0] === "_") continue;
    text += (some ? "," : "") + quote(names[i]) + ":" +
      dumped(v[names[i]], blob, depth, path + "." + names[i]);
    some = true;
  }
  return '{"$":["o",' + quote(name) + ",{" + text + "}]}";
};

const bytes = (v, blob) => blob.attach(encode64(v), "x");
const view = (v) => new Bytes(bufferOf(v), offsetOf(v), sizeOf(v));
const MAKERS = new Table();
const maker = (type, make) => mapSet(MAKERS, type.prototype, make);
maker(Bytes, bytes);
maker(Uint8ClampedArray, (v, blob) => bytes(view(v), blob));
maker(Int8Array, (v, blob) => bytes(view(v), blob));
maker(Buffer_, (v, blob) => bytes(new Bytes(v), blob));
maker(Moment, (v, blob, depth, path) => {
  if (!isFinite_(timeOf(v))) return "null";
  const text = iso(v);  // a longer one has a sign and six digits for its year
  if (text.length > 24 || text < "0001") {
    throw refuse(path, "a date of a year before 1 or after 9999 cannot cross");
  }
  return '{"$":["dt","' + text + '"]}';
});
maker(Table, (v, blob, depth, path) => {
  let text = "";
  mapEach(v, (value, key) => {
    text += (text ? "," : "") + "[" + dumped(key, blob, depth, inside(path, key)) + "," +
      dumped(value, blob, depth, inside(path, key)) + "]";
  });
  return '{"$":["d",[' + text + "]]}";
});
maker(Group, (v, blob, depth, path) => {
  let text = "";
  setEach(v, (item) => {
    text += (text ? "," : "") + dumped(item, blob, depth, inside(path, item));
  });
  return '{"$":["e",[' + text + "]]}";
});
maker(Foreign, (v) => foreign(v));
for (const one of [Number, Boolean, Text]) {
  maker(one, (v, blob, depth, path) => dumped(v.valueOf(), blob, depth, path));
}
for (const [type, what] of [[Fault, "an Error"], [Later, "a Promise"], [RegExp, "a RegExp"],
  [WeakMap, "a WeakMap"], [WeakSet, "a WeakSet"], [WeakRef, "a WeakRef"], [DataView, "a DataView"],
  [SharedArrayBuffer, "a SharedArrayBuffer"]]) {
  maker(type, (v, blob, depth, path) => { throw refuse(path, what + " cannot cross the boundary"); });
}
// Values of subclasses of those: by what they are, and not by how they look.
const BASES = [Table, Group, Bytes, Moment, Later, Fault];
const special = (v) => {
  for (let i = 0; i < BASES.length; i++) {
    if (v instanceof BASES[i]) return mapGet(MAKERS, BASES[i].prototype);
  }
  if (isView(v)) {
    return (_v, _blob, _depth, path) => { throw refuse(path, "pass its bytes as a Uint8Array"); };
  }
  return null;
};

// -- the other direction: the host is trusted ----------------------------------------------------

// The header and the attachments of a frame; null for these if no value in it is tagged.
const receive = (frame) => {
  if (indexOf(frame, '"$"') < 0) {
    tail = null;
    return parse(frame);
  }
  const end = indexOf(frame, "\n");
  tail = end < 0 ? "" : slice(frame, end + 1);
  wide = !isLatin(tail) && matches(/[\ud800-\udbff]/, tail) !== null;
  return parse(end < 0 ? frame : slice(frame, 0, end));
};
let tail = null;
let wide = false;

const span = (x) => {
  if (!wide) return slice(tail, x[1], x[1] + x[2]);
  const from = unit(0, x[1]);
  return slice(tail, from, unit(from, x[2]));
};
// Where `count` code points behind `from` end.
const unit = (from, count) => {
  let at = from;
  for (let i = 0; i < count; i++) {
    const code = codeAt(tail, at);
    at += code >= 0xd800 && code < 0xdc00 ? 2 : 1;
  }
  return at;
};

const lift = (v) => {
  if (tail === null || !isObject(v)) return v;
  if (isArray(v)) {
    for (let i = 0; i < v.length; i++) if (isObject(v[i])) v[i] = lift(v[i]);
    return v;
  }
  if (hasOwn(v, "$")) return LIFT[v.$[0]](v.$);
  const names = keys(v);
  for (let i = 0; i < names.length; i++) {
    const value = v[names[i]];
    if (isObject(value)) {
      defineProperty(v, names[i], { __proto__: null, value: lift(value), writable: true,
        enumerable: true, configurable: true });
    }
  }
  return v;
};

const kept = (text) => (x) => new Foreign(text(x), '{"$":' + stringify(x) + "}");
const LIFT = {
  __proto__: null,
  t: (x) => lift(x[1]),
  e: (x) => group(lift(x[1])),
  f: (x) => group(lift(x[1])),
  d: (x) => table(x[1]),
  i: (x) => (x[1][0] === "-" ? -Int(slice(x[1], 1)) : Int(x[1])),
  n: (x) => (x[1] === "nan" ? NaN : x[1] === "inf" ? Infinity : x[1] === "-inf" ? -Infinity : +x[1]),
  b: (x) => fromBase64(fromLatin(span(x))),
  B: (x) => fromBase64(fromLatin(span(x))),
  x: (x) => fromBase64(span(x)),
  X: (x) => fromBase64(span(x)),
  s: span,
  dt: (x) => new Moment(matches(/[+-]\d\d:\d\d$|Z$/, x[1]) ? x[1] : x[1] + "Z"),
  da: kept((x) => x[1]),
  ti: kept((x) => x[1]),
  td: kept((x) => (x[1][0] * 86400 + x[1][1]) + x[1][2] / 1e6 + " s"),
  D: kept((x) => x[1]),
  u: kept((x) => x[1]),
  c: kept((x) => x[1][0] + (x[1][1][0] === "-" ? "" : "+") + x[1][1] + "j"),
  o: (x) => lift(x[2]),
  R: (x) => rowsOf(x[1], lift(x[2]), x[3]),
  w: (x) => rowOf(x[1], lift(x[2])),
  r: (x) => received(x),
  g: (x) => returned(x),
};
const group = (values) => {
  const made = new Group();
  for (let i = 0; i < values.length; i++) setAdd(made, values[i]);
  return made;
};
const table = (pairs) => {
  let named_ = true;
  for (let i = 0; i < pairs.length; i++) if (typeof pairs[i][0] !== "string") named_ = false;
  const made = named_ ? {} : new Table();
  for (let i = 0; i < pairs.length; i++) {
    const value = lift(pairs[i][1]);
    if (named_) {
      defineProperty(made, pairs[i][0], { __proto__: null, value, writable: true,
        enumerable: true, configurable: true });
    } else mapSet(made, lift(pairs[i][0]), value);
  }
  return made;
};
