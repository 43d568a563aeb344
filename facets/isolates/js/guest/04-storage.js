// `this.sql`, `this.kv`, `this.fs`, `this.transaction`: each operation is one crossing.
//
// A step is one turn: what the host started, a call, a timer or an answer, with everything that
// follows from it without waiting for the host again. The end of a call and an item of a stream
// end a step too. `turn` is the call whose turn it is, `touched` the calls that used the storage
// in this step.
let step = 0;
let turn = 0;
let touched = list();
let touchedStep = -1;

const operate = (op, parts, blob = null) => {
  if (touchedStep !== step) {
    touched = list();
    touchedStep = step;
  }
  if (touched[touched.length - 1] !== turn) add(touched, turn);
  const text = "[" + step + "," + turn + ',"' + op + '",[' + parts + "]]";
  reserve(text.length + (blob ? blob.text.length : 0));
  const said = receive(ask(blob && blob.text ? text + "\n" + blob.text : text));
  if (said[0]) return lift(said[1]);
  throw build(lift(said[1]));
};

// On its way out a message is copied twice, and partly where running out of memory ends the
// engine: find out here whether there is room.
const reserve = (length) => {
  if (length > 1 << 19) new Buffer_(3 * length);
};

// Roll back what the current step wrote; who else wrote in it.
const undo = () => {
  if (touchedStep !== step) return list();
  const others = touched;
  touchedStep = -1;
  ask("[" + step + "," + turn + ',"undo",[]]');
  return others;
};

const stored = (value, blob, what) => {
  try {
    return dump(value, blob, what);
  } catch (error) {
    if (!(error instanceof NotTransferable)) throw error;
    throw new NotStorable(error.message, { hint: "store numbers, text, bytes or plain data" });
  }
};

// -- rows ------------------------------------------------------------------------------------------

// One row: its values by the names of their columns; iterating it gives them in order.
class Row {
  #columns;
  #values;
  constructor(columns, values) {
    this.#columns = columns;
    this.#values = values;
    for (let i = 0; i < columns.length; i++) {
      if (!hasOwn(this, columns[i])) {
        defineProperty(this, columns[i], { __proto__: null, value: values[i], writable: true,
          enumerable: true, configurable: true });
      }
    }
  }
  *[Symbol.iterator]() {
    for (let i = 0; i < this.#values.length; i++) yield this.#values[i];
  }
  static parts(row) { return [row.#columns, row.#values]; }
}
const rowParts = Row.parts;
const rowOf = (columns, values) => new Row(columns, values);

// All rows of one statement; later writes do not change them.
class Rows {
  #values;
  constructor(columns, values, changes) {
    this.#values = values;
    defineProperty(this, "columns", { __proto__: null, value: columns, enumerable: true });
    defineProperty(this, "changes", { __proto__: null, value: changes, enumerable: true });
    freeze(columns);
  }
  get length() { return this.#values.length; }
  *[Symbol.iterator]() {
    for (let i = 0; i < this.#values.length; i++) yield rowOf(this.columns, this.#values[i]);
  }
  // Every row, as an array.
  all() {
    const made = [];
    for (let i = 0; i < this.#values.length; i++) {
      defineProperty(made, i, { __proto__: null, value: rowOf(this.columns, this.#values[i]),
        writable: true, enumerable: true, configurable: true });
    }
    return made;
  }
  // The row of this number, from the end if it is negative; undefined if there is none.
  at(index) {
    const found = this.#values[index < 0 ? this.#values.length + index : index];
    return found && rowOf(this.columns, found);
  }
  // The only row; NoRow if there is none, TooManyRows if there are more.
  one() {
    if (this.#values.length > 1) {
      throw new TooManyRows("one row expected, " + this.#values.length + " found");
    }
    if (!this.#values.length) throw new NoRow("a row was expected but there is none");
    return rowOf(this.columns, this.#values[0]);
  }
  // The first row, or null.
  first() { return this.#values.length ? rowOf(this.columns, this.#values[0]) : null; }
  // The first column of the first row; without a row the fallback if one is given, else NoRow.
  value(...fallback) {
    if (this.#values.length) return this.#values[0][0];
    if (fallback.length) return fallback[0];
    throw new NoRow("a value was expected but there is no row", {
      hint: "pass a fallback if none is fine" });
  }
  static values(rows) { return rows.#values; }
}
const rowValues = Rows.values;
const rowsOf = (columns, values, changes) => new Rows(columns, values, changes);
maker(Row, (v, blob, depth, path) => {
  const parts = rowParts(v);
  return '{"$":["w",' + items(parts[0], blob, depth, path) + "," +
    items(parts[1], blob, depth, path) + "]}";
});
maker(Rows, (v, blob, depth, path) => '{"$":["R",' + items(v.columns, blob, depth, path) + "," +
  items(rowValues(v), blob, depth, path) + "," + v.changes + "]}");

// -- sql -------------------------------------------------------------------------------------------

const statement = (op, query, args) => {
  const blob = new Blob();
  const only = args.length === 1 && isObject(args[0]) ? getPrototypeOf(args[0]) : undefined;
  const byName = only === null || only === ObjectPrototype;
  const parts = stored(Text(query), blob, "query") + "," +
    (byName ? "[]," + stored(args[0], blob, "named") : stored(args, blob, "args") + ",{}");
  const said = operate(op, parts, blob);
  return rowsOf(said.columns, said.rows, said.changes);
};

// Run one statement to its end; its Rows. Parameters follow in order, or as one object by name.
const sql = (query, ...args) => statement("sql", query, args);
// The same for a query that was built at run time.
hide(sql, "unsafe", (query, ...args) => statement("unsafe", query, args));
// Run a statement once for each of these arrays of parameters; the number of changes.
hide(sql, "many", (query, rows) => {
  const blob = new Blob();
  const parts = stored(Text(query), blob, "query") + "," + stored([...rows], blob, "rows");
  return operate("many", parts, blob).changes;
});

// -- kv --------------------------------------------------------------------------------------------

const kvCall = (op, ...args) => {
  const blob = new Blob();
  let parts = '"' + op + '"';
  for (let i = 0; i < args.length; i++) parts += "," + stored(args[i], blob, "kv");
  return operate("kv", parts, blob);
};
const entries = (pairs) => {
  const proto = isObject(pairs) ? getPrototypeOf(pairs) : undefined;
  return proto === null || proto === ObjectPrototype ? pairs : new Table(pairs);
};

// An ordered mapping of text keys to values, in the same database as `sql`.
const kv = {
  __proto__: null,
  // The value of this key, or the fallback.
  get(key, fallback = undefined) {
    try {
      return kvCall("get", key);
    } catch (error) {
      if (error instanceof errors.KeyError) return fallback;
      throw error;
    }
  },
  set(key, value) { kvCall("set", key, value); },
  has: (key) => kvCall("contains", key),
  // Whether the key existed.
  delete: (key) => kvCall("delete_many", [key]) > 0,
  // [key, value] pairs in order of their keys.
  list: ({ prefix = "", start = null, end = null, limit = null, reverse = false } = {}) =>
    kvCall("list", prefix, start, end, limit, reverse),
  // An object of those entries that exist.
  getMany: (wanted) => kvCall("get_many", [...wanted]),
  // Set many entries, an object or a Map, with one crossing.
  setMany(pairs) { kvCall("update", entries(pairs)); },
  // How many existed.
  deleteMany: (unwanted) => kvCall("delete_many", [...unwanted]),
  clear() { kvCall("clear"); },
  get size() { return kvCall("len"); },
};

// -- files -----------------------------------------------------------------------------------------

const options = (given) => {
  const made = { __proto__: null };
  const names = keys(given);
  for (let i = 0; i < names.length; i++) {
    let name = "";
    for (let j = 0; j < names[i].length; j++) {
      const letter = names[i][j], small = lower(letter);
      name += letter === small ? letter : "_" + small;
    }
    made[name] = given[names[i]];
  }
  return made;
};
const files = (method, args, given = {}) => {
  const blob = new Blob();
  return operate("fs", quote(method) + "," + stored(args, blob, "fs") + "," +
    stored(options(given), blob, "fs"), blob);
};
const encodeText = (text) => {
  const coded = unescape_(encodeURIComponent_(wellFormed(Text(text))));
  return fromBase64(fromLatin(coded));
};
const decodeText = (data) => decodeURIComponent_(escape_(toLatin(encode64(data))));
const [escape_, unescape_, encodeURIComponent_, decodeURIComponent_] =
  [escape, unescape, encodeURIComponent, decodeURIComponent];
const content = (data) => (typeof data === "string" ? encodeText(data) : data);
const Number_ = Number;

// Files, directories and links in the actor's database; texts are UTF-8.
const fs = {
  __proto__: null,
  read: (path, offset = 0, size = null) => files("read", [path, offset, size]),
  readText: (path) => decodeText(files("read", [path])),
  write: (path, data) => files("write", [path, content(data)]),
  append: (path, data) => files("append", [path, content(data)]),
  writeAt: (path, offset, data) => files("write_at", [path, offset, content(data)]),
  truncate: (path, size = 0) => files("truncate", [path, size]),
  stat: (path) => statOf(files("stat", [path])),
  lstat: (path) => statOf(files("lstat", [path])),
  scandir: (path = "/", given = {}) => {
    const found = files("scandir", [path], given);
    for (let i = 0; i < found.length; i++) {
      found[i] = freeze({ __proto__: null, name: found[i][0], path: found[i][1],
        stat: statOf(found[i][2]) });
    }
    return found;
  },
};
const statOf = (parts) => freeze({ __proto__: null, kind: parts[0], size: parts[1],
  mode: parts[2], mtime: new Moment(Number_(parts[3]) / 1e6), inode: parts[4] });
// The others are as they are outside, with camel case for both their names and their options;
// these come as one object behind the arguments.
for (const [name, count] of [["exists", 1], ["isFile", 1], ["isDir", 1], ["isLink", 1],
  ["lexists", 1], ["listdir", 1], ["glob", 1], ["mkdir", 1], ["readlink", 1], ["unlink", 1],
  ["rmdir", 1], ["removeTree", 1], ["rename", 2], ["copy", 2], ["symlink", 2], ["chmod", 2],
  ["utime", 1], ["diff", 2], ["diffText", 2]]) {
  const method = keys(options({ [name]: 0 }))[0];
  fs[name] = (...args) => {
    const given = args[count] ?? {};
    if (args.length > count) args.length = count;
    return files(method, args, given);
  };
}

// Run a function; what it wrote is undone if it throws. It may not wait for anything.
const transaction = (work) => {
  operate("begin", "");
  let result;
  try {
    result = work();
  } catch (error) {
    operate("rollback_to", "");
    throw error;
  }
  if (isObject(result) && typeof read(result, "then") === "function") {
    operate("rollback_to", "");
    promiseThen(new Later((done) => done(result)), undefined, () => {});
    throw new TransactionAcrossAwait("the function of a transaction returned a promise", {
      hint: "finish the transaction before you await; pass a plain function" });
  }
  operate("release", "");
  return result;
};
freeze(sql);
freeze(kv);
freeze(fs);
