// Errors by the names they have outside, and errors as data.
const LONGEST = 4096;
const FRAMES = 20;

class FacetsError extends Fault {
  constructor(message = "", { hint = "", fields = {} } = {}) {
    super(message);
    hide(this, "hint", hint);
    hide(this, "fields", fields);
    const names = keys(fields);
    for (let i = 0; i < names.length; i++) {
      if (!hasOwn(this, names[i])) hide(this, names[i], fields[names[i]]);
    }
  }
}

const errors = { __proto__: null, FacetsError };
const isOurs = new Table();
const errorClass = (name, base) => {
  const made = { [name]: class extends base {} }[name];
  hide(made.prototype, "name", name);
  mapSet(isOurs, made.prototype, name);
  return made;
};
hide(FacetsError.prototype, "name", "FacetsError");
mapSet(isOurs, FacetsError.prototype, "FacetsError");
const TREE = {
  FacetsError: ["StorageError", "ExclusiveReentered", "NotCopyable", "Cancelled",
    "CapabilityError", "EgressError", "FacetRunsOtherCode", "ActorError", "ValueError", "LookupError", "NotImplementedError", "RuntimeError",
    "OSError", "MemoryError", "AttributeError"],
  StorageError: ["SqlError", "ResultTooLarge", "NoRow", "TooManyRows", "NotStorable", "FileError",
    "StorageFull", "TransactionAcrossAwait"],
  SqlError: ["ConstraintError", "SqlDenied", "StatementTooLong", "StatementTimeout",
    "StatementTooComplex", "ValueTooLarge", "OutOfMemory"],
  FileError: ["FileMissing", "FileExists", "IsDirectory", "NotDirectory", "DirectoryNotEmpty",
    "LinkLoop", "PathTooLong", "PathInvalid", "FileTooLarge", "FilesQuota", "FileDamaged"],
  CapabilityError: ["CapabilityDenied", "CapabilityRevoked", "CapabilityExpired"],
  EgressError: ["EgressDenied", "EgressTimeout", "EgressFailed", "EgressTooLarge", "EgressBudget"],
  EgressBudget: ["RequestBudget", "SentBudget", "ReceivedBudget", "TimeBudget", "ConcurrentBudget"],
  ActorError: ["FacetAborted", "FacetDeleted", "NoSuchMethod", "NotCallable", "BadTimer",
    "TimerLimit", "QuotaExceeded"],
  QuotaExceeded: ["MeterQuota", "BytesQuota", "DatabasesQuota", "OpenDatabasesQuota"],
  NotCopyable: ["NotTransferable"],
  LookupError: ["KeyError", "IndexError"],
  OSError: ["PermissionError", "TimeoutError", "FileNotFoundError"],
};
for (const base of keys(TREE)) {
  for (const name of TREE[base]) errors[name] = errorClass(name, errors[base]);
}
const { NotTransferable, NotStorable, NoRow, TooManyRows, Cancelled, StorageError,
  TransactionAcrossAwait } = errors;

// What the language's own errors are called outside.
const KINDS = {
  __proto__: null, TypeError: "TypeError", RangeError: "ValueError", SyntaxError: "SyntaxError",
  ReferenceError: "NameError", URIError: "ValueError", InternalError: "RuntimeError",
  AggregateError: "Exception", EvalError: "Exception",
};
const LANGUAGE = new Table();
for (const one of [TypeError, RangeError, SyntaxError, ReferenceError, URIError, InternalError,
  AggregateError, EvalError]) mapSet(LANGUAGE, one.prototype, one.prototype.name);

const short = (value) => {
  try {
    const text = typeof value === "string" ? value : Text(value);
    return text.length > LONGEST ? slice(text, 0, LONGEST) : text;
  } catch {
    return "<no text>";
  }
};
const read = (from, name) => {
  try { return from[name]; } catch { return undefined; }
};

// The error as a JSON text; of what was thrown nothing is believed.
const describe = (error) => {
  try {
    return described(error === null ? new errors.MemoryError(NOTHING) : error);
  } catch {
    return described(new Fault("what was thrown cannot be looked at"));
  }
};
const NOTHING = "null was thrown, as the engine does without memory for an error";
const described = (error) => {
  const thrown = isObject(error);
  const type = short((thrown && read(error, "name")) || "Error");
  const message = thrown ? short(read(error, "message") ?? "") : short(error);
  const fields = list();
  const given = thrown ? read(error, "fields") : null;
  if (isObject(given) && error instanceof FacetsError) {
    const names = keys(given);
    for (let i = 0; i < names.length; i++) {
      const name = names[i], value = given[name];
      if (value === null || (typeof value !== "object" && typeof value !== "function" &&
          typeof value !== "bigint" && typeof value !== "symbol" && value !== undefined)) {
        add(fields, quote(short(name)) + ":" + (typeof value === "string"
          ? quote(short(value)) : isFinite_(value) || typeof value !== "number"
            ? Text(value) : "null"));
      }
    }
  }
  return '{"type":' + quote(type) + ',"kinds":' + kindsOf(error, thrown, message) +
    ',"message":' + quote(message) + ',"hint":' +
    quote(short((thrown && error instanceof FacetsError && read(error, "hint")) || "")) +
    ',"fields":{' + joined(fields) + '},"traceback":' +
    quote(traceback(error, thrown, type, message)) + ',"notes":[]}';
};

const kindsOf = (error, thrown, message) => {
  const found = list();
  try {
    for (let at = thrown ? getPrototypeOf(error) : null; at && found.length < 16;
        at = getPrototypeOf(at)) {
      const ours = mapGet(isOurs, at);
      const language = mapGet(LANGUAGE, at);
      if (ours) add(found, quote(ours));
      if (language) {
        if (indexOf(message, "call stack size") >= 0) add(found, '"RecursionError"');
        if (message === "out of memory") add(found, '"MemoryError"');
        add(found, quote(KINDS[language]));
      }
    }
  } catch { /* a proxy that throws has no kind */ }
  add(found, '"Exception"');
  return "[" + joined(found) + "]";
};

const joined = (parts) => {
  let text = "";
  for (let i = 0; i < parts.length; i++) text += i ? "," + parts[i] : parts[i];
  return text;
};

// The stack without the runtime's own frames.
const traceback = (error, thrown, type, message) => {
  let text = message ? type + ": " + message : type;
  const stack = thrown ? read(error, "stack") : undefined;
  if (typeof stack !== "string") return text + "\n";
  let at = 0;
  for (let shown = 0; shown < FRAMES && at < stack.length;) {
    let end = indexOf(stack, "\n", at);
    if (end < 0) end = stack.length;
    const line = slice(stack, at, end);
    at = end + 1;
    if (line && indexOf(line, "<runtime>") < 0 && indexOf(line, "eval_script") < 0 &&
        indexOf(line, "(native)") < 0) {
      text += "\n" + short(line);
      shown += 1;
    }
  }
  const cause = read(error, "cause");
  if (isObject(cause) && cause !== error) {
    text += "\nCaused by: " + short(read(cause, "name")) + ": " + short(read(cause, "message"));
  }
  return text + "\n";
};

// The error that a host's answer describes, by the same name; one that exists only outside
// extends the first of its kinds that is known here.
const build = ({ type, message, hint, fields, kinds = [] }) => {
  let made = errors[type] ?? mapGet(foreignErrors, type);
  if (made === undefined) {
    let base = FacetsError;
    for (let i = kinds.length - 1; i >= 0; i--) base = errors[kinds[i]] ?? base;
    made = errorClass(type, base);
    if (mapSize(foreignErrors) < 256) mapSet(foreignErrors, type, made);
  }
  return new made(message, { hint, fields });
};
const foreignErrors = new Table();
